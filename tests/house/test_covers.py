"""The bookkeeping of scope ids: five at most, only known ones, and nothing shown by a test that did not pass."""

import json
from pathlib import Path

import pytest

from tests import conftest
from tests.conftest import objections, scope
from tools import capabilities

pytest_plugins = ["pytester"]
ROOT = Path(conftest.__file__).parents[1]
KNOWN = {"layer/stride", "base/epoch"}


def test_the_scope_list_has_one_row_an_id():
    rows = capabilities.read_scope()
    assert len(rows) == len({row.id for row in rows}) == len(scope())
    assert all(row.item and "/" in row.id for row in rows)


def test_an_unknown_id_is_named_together_with_its_test():
    assert objections("test_a", ["layer/strid"], KNOWN) == [
        "test_a covers 'layer/strid', which docs/scope.tsv does not list"
    ]


def test_a_test_with_six_ids_is_refused():
    ids = [f"x/{i}" for i in range(6)]
    assert objections("test_a", ids, set(ids)) == ["test_a covers 6 ids; a test truly shows 5 at most: split it"]
    assert objections("test_a", ids[:5], set(ids)) == []


@pytest.mark.parametrize(("outcome", "shown"), [("passed", True), ("skipped", False), ("failed", False)])
def test_only_a_passed_test_shows_its_ids(outcome, shown):
    scope_rows = [capabilities.Row("layer/stride", "Stride", "")]
    run = {
        "tests/t.py::test_a": {"outcome": outcome, "covers": ["layer/stride"], "commit": "abc", "date": "2026-01-02"}
    }
    page = capabilities.page(scope_rows, run, {})
    assert ("1 of 1" in page) is shown
    assert ("not yet" in page.split("| id |")[1]) is not shown


def test_a_failed_test_takes_the_proof_from_a_passed_one_of_the_same_name_only():
    scope_rows = [capabilities.Row("layer/stride", "Stride", "")]
    run = {
        "tests/t.py::test_a": {"outcome": "failed", "covers": ["layer/stride"], "commit": "abc", "date": "2026-01-02"},
        "tests/t.py::test_b": {"outcome": "passed", "covers": ["layer/stride"], "commit": "abc", "date": "2026-01-02"},
    }
    page = capabilities.page(scope_rows, run, {})
    assert "test_b" in page
    assert "test_a" not in page


def test_a_figure_stands_beside_its_id_and_a_missed_one_does_not_count():
    scope_rows = [capabilities.Row("layer/stride", "Stride", "")]
    row = {
        "figure": "R² 0.98",
        "covers": ["layer/stride"],
        "test": "tests/t.py::test_a",
        "commit": "abc",
        "date": "2026-01-02",
    }
    assert "R² 0.98" in capabilities.page(scope_rows, {}, {"diamonds": row | {"passed": True}})
    missed = capabilities.page(scope_rows, {}, {"diamonds": row | {"passed": False}})
    assert "0 of 1" in missed


def test_the_record_survives_workers_and_knows_skipped_from_passed(pytester, monkeypatch):
    """The real conftest in a small project of its own, run by two workers."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.mkdir("docs")
    pytester.mkdir("tests")
    (pytester.path / "docs/scope.tsv").write_text("id\titem\twhat\na/b\tB\t\na/c\tC\t\n")
    (pytester.path / "tests/conftest.py").write_text(Path(conftest.__file__).read_text())
    (pytester.path / "tests/test_it.py").write_text(
        "import pytest\n"
        "@pytest.mark.covers('a/b')\ndef test_yes(): pass\n"
        "@pytest.mark.covers('a/c')\ndef test_skipped(): pytest.skip('no')\n"
        "@pytest.mark.covers('a/c')\ndef test_wrong(): assert 0\n"
        "def test_figure(result):\n    result('fig', figure='1.0')\n    assert 1\n"
    )
    (pytester.path / "pytest.ini").write_text("[pytest]\nmarkers = covers\ntestpaths = tests\n")
    pytester.runpytest_subprocess("-n2", "-p", "no:cacheprovider").assert_outcomes(passed=2, skipped=1, failed=1)
    rows = json.loads((pytester.path / "tests/.last-run.json").read_text())
    outcomes = {test.partition("::")[2]: (row["outcome"], row["covers"]) for test, row in rows.items()}
    assert outcomes == {
        "test_yes": ("passed", ["a/b"]),
        "test_skipped": ("skipped", ["a/c"]),
        "test_wrong": ("failed", ["a/c"]),
        "test_figure": ("passed", []),
    }
    figure = json.loads((pytester.path / "results/fig.json").read_text())
    assert figure["passed"]
    assert figure["figure"] == "1.0"


def test_an_unknown_id_stops_the_run(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.mkdir("docs")
    pytester.mkdir("tests")
    (pytester.path / "docs/scope.tsv").write_text("id\titem\twhat\na/b\tB\t\n")
    (pytester.path / "tests/conftest.py").write_text(Path(conftest.__file__).read_text())
    (pytester.path / "tests/test_it.py").write_text("import pytest\n@pytest.mark.covers('a/x')\ndef test_x(): pass\n")
    (pytester.path / "pytest.ini").write_text("[pytest]\nmarkers = covers\n")
    ran = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    ran.stderr.fnmatch_lines(["*test_x covers 'a/x', which docs/scope.tsv does not list*"])
