"""docs/trust.md is the page of results/trust.json, and counts what the tests did: passed, failed, and how often."""

import json

from tools import trust

ROW = {"outcome": "passed", "covers": [], "scale": "full", "date": "2026-01-02", "commit": "abc", "machine": "m",
       "seconds": 30.0}  # fmt: skip
KILLS = "tests/trust/test_kills.py::test_killed"


def test_the_page_is_the_one_of_the_results():
    found = json.loads((trust.ROOT / "results" / "trust.json").read_text("utf-8"))
    assert (trust.ROOT / "docs" / "trust.md").read_text("utf-8") == trust.page(found), "run: python tools/trust.py page"


def test_every_test_that_the_page_counts_is_there():
    for item in trust.ITEMS.values():
        for test in item.tests:
            file, _, name = test.partition("::")
            text = (trust.ROOT / file).read_text("utf-8")
            assert f"def {name}" in text if name else "def test_" in text, test


def test_what_tests_did_is_added_up_and_what_failed_is_named_with_its_seed():
    rows = {
        f"{KILLS}[a]": ROW | {"tally": {"kills": 25}},
        f"{KILLS}[b]": ROW | {"tally": {"kills": 20}},
        f"{KILLS}[c]": ROW | {"outcome": "failed", "seed": "kills c 3"},
        "tests/trust/test_disk.py::test_full": ROW | {"outcome": "skipped"},
        "tests/models/test_mlp.py::test_of_something_else": ROW | {"outcome": "failed"},
    }
    found = trust.result(rows)
    assert found["items"]["1"] == {
        "tests": 3, "passed": 2, "skipped": 0, "failed": [f"{KILLS}[c]"], "seeds": ["kills c 3"], "did": {"kills": 45},
    }  # fmt: skip
    assert found["figure"] == "45 kills; 1 tests failed" and not found["passed"]
    page = trust.page(found)
    assert "| 45 kills | 2 of 3, **1 failed** |" in page and "seed `kills c 3`" in page
    assert "0 of 1, 1 skipped" in page and "not yet" in page
    assert trust.result({t: row for t, row in rows.items() if row["outcome"] == "passed"})["passed"]


def test_make_trust_runs_what_the_page_counts():
    chosen = trust.existing()
    assert len(chosen) == len(set(chosen))
    for item in trust.ITEMS.values():
        assert all(test in chosen or test.partition("::")[0] in chosen for test in item.tests)
