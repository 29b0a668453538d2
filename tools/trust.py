"""docs/trust.md and results/trust.json: what was tried to break a run, how often, and what came of it.

python tools/trust.py tests     the tests of the list below, for pytest's command line: `make trust` runs them
python tools/trust.py           both files, from what that run noted in tests/.last-run.json
python tools/trust.py page      the page alone, from results/trust.json
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
FULL = "full"  # of TRUST in the environment: the numbers of the table, not the share of them in make test


class Item(NamedTuple):
    """One line of the page: what is tried, what must hold, and the tests that try it (files, or FILE::test)."""

    what: str
    must: str
    tests: tuple[str, ...]


ITEMS = {
    1: Item(
        "kill -9 at random moments, inside a save, a validation, an epoch's last batch, while resuming",
        "200 of 200 go on by the same command and end with the same weights, optimizer, diary and metrics, to the bit; "
        "no temporary file is left",
        ("tests/trust/test_kills.py", "tests/train/test_resume.py"),
    ),
    2: Item(
        "code in files, paths that lead out of a folder, in everything that a verb opens",
        "nothing is run, nothing outside is read or written, one clear line",
        ("tests/trust/test_hostile.py", "tests/trust/test_hostile_runs.py", "tests/house/test_pickles.py",
         "tests/models/test_weights.py",
         "tests/train/test_files.py::test_a_manifest_that_names_a_file_outside_the_run_is_refused_unread"),
    ),
    4: Item(
        "bytes that changed: 1,500 mutations of each file of a run, and every bit of the small ones",
        "all are refused before use, by the file's name",
        ("tests/trust/test_mutations.py", "tests/train/test_files.py"),
    ),
    8: Item(
        "a full disk, a used-up quota, a small file system, at every kind of write",
        "one line and status 1; what was saved before loads; nothing broken bears a final name; it goes on with space",
        ("tests/trust/test_disk.py",),
    ),
    9: Item(
        "SIGTERM and SIGINT at random moments, twice, in the midst of a save; one's own code that raises; two runs in "
        "one folder",
        "saved and left within 10 s with 143 or 130 and the command to go on; the second signal at once",
        ("tests/trust/test_signals.py",),
    ),
    10: Item(
        "dirty data: broken and empty files, gaps, one class, one row, other encodings, wide rows",
        "trained with a count of what was left out and why, or refused before the first step; never a traceback",
        ("tests/trust/test_dirty.py", "tests/trust/test_dirty_later.py", "tests/cli/test_bad_input.py"),
    ),
    11: Item(
        "bombs: sizes in headers that no memory holds",
        "refused from the header",
        ("tests/trust/test_hostile.py::test_a_hostile_picture", "tests/trust/test_hostile.py::test_a_bomb",
         "tests/trust/test_hostile.py::test_bait", "tests/trust/test_hostile.py::test_hostile_weights",
         "tests/fields/test_image.py"),
    ),
    12: Item(
        "the same seed again, other numbers of loader workers, micro-batches",
        "the same bits; a change of versions, threads or machine is said",
        ("tests/trust/test_determinism.py",),
    ),
    15: Item(
        "the death of a loader's worker; an environment that fails in mid-episode",
        "made good, or a clear error at once; the run goes on with the same data in the same order",
        ("tests/trust/test_workers.py",),
    ),
    17: Item(
        "numbers that are not finite in data, loss, gradient and weights",
        "noticed in that step and withheld; the policy given is followed; never the best weights",
        ("tests/train/test_nonfinite.py",
         "tests/train/test_trainer.py::test_what_is_not_finite_is_never_the_best",
         "tests/train/test_trainer.py::test_an_update_that_is_not_finite_is_withheld_to_the_bit_and_the_rest_goes_on",
         "tests/train/test_trainer.py::test_a_loss_that_is_not_finite_is_named_with_its_step_and_where_it_came_from"),
    ),
    21: Item(
        "runs of earlier versions, one of every family of networks",
        "they open, answer and go on as they did; a newer one says so",
        ("tests/trust/test_golden.py", "tests/train/test_files.py::test_a_newer_checkpoint_says_so"),
    ),
    24: Item(
        "formulas, terminal codes and markup in names",
        "escaped wherever they are printed or written",
        tuple(f"tests/trust/test_names_and_places.py::test_{test}" for test in (
            "odd_names_of_columns", "what_was_left_out", "a_file_of_an_odd_name", "a_cell_is_no_formula",
            "what_is_shown", "a_message_has_an_end", "csv_in_a_pipe")),
    ),
    27: Item(
        "a clock set back, other locales, strange and long paths, no HOME, folders that are read-only",
        "it works, or says why",
        ("tests/trust/test_names_and_places.py",),
    ),
    28: Item(
        "no network; each optional package missing",
        "every verb works or names the extra; nobody is called",
        ("tests/trust/test_alone.py",),
    ),
    29: Item(
        "tokens in the environment",
        "found in no file and no line that is printed",
        ("tests/trust/test_alone.py::test_no_secret_of_the_environment_is_in_what_is_written_or_said",
         "tests/trust/test_names_and_places.py::test_without_a_home"),
    ),
}  # fmt: skip


def existing() -> list[str]:
    """The tests of the list whose files are there, each once."""
    named = dict.fromkeys(test for item in ITEMS.values() for test in item.tests)
    files = [test for test in named if "::" not in test]
    there = [test for test in named if (ROOT / test.partition("::")[0]).is_file()]
    return [test for test in there if test in files or test.partition("::")[0] not in files]


def counted(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """{item: {tests, passed, skipped, failed, seeds, did}} of a full run's outcomes."""
    found = {}
    for number, item in ITEMS.items():
        mine = {t: row for t, row in rows.items() if t.partition("[")[0].startswith(item.tests)}
        did: dict[str, int] = {}
        for row in mine.values():
            for name, more in row.get("tally", {}).items():
                did[name] = did.get(name, 0) + more
        outcomes = [row["outcome"] for row in mine.values()]
        found[str(number)] = {
            "tests": len(mine),
            "passed": outcomes.count("passed"),
            "skipped": outcomes.count("skipped"),
            "failed": sorted(t for t, row in mine.items() if row["outcome"] == "failed"),
            "seeds": sorted(row["seed"] for row in mine.values() if row.get("seed")),
            "did": did,
        }
    return found


def result(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """results/trust.json from the outcomes of a full run."""
    items = counted(rows)
    last = max(rows.values(), key=lambda row: row["date"])
    failed = sum(len(one["failed"]) for one in items.values())
    did: dict[str, int] = {}
    for row in rows.values():
        for name, more in row.get("tally", {}).items():
            did[name] = did.get(name, 0) + more
    return {
        "figure": f"{_said(did)}; {failed} tests failed",
        "must": "0 failed; 200 kills, 50 signals, 12 full disks, 1,500 mutations a format",
        "covers": [],
        "test": "tests/trust",
        "commit": ", ".join(sorted({row["commit"] for row in rows.values()})),  # several, where it ran in parts
        "date": last["date"],
        "machine": last["machine"],
        "seconds": round(sum(row.get("seconds", 0) for row in rows.values())),
        "items": items,
        "passed": not failed,
    }


def _said(did: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in did.items())


def page(found: Mapping[str, Any]) -> str:
    """The whole page, as Markdown."""
    lines = [
        "# Trust",
        "",
        "What was tried to break a run, and what came of it. Made by `make trust`, which runs the tests in their full",
        "numbers (`make test` runs a share of each); not edited by hand. Anything that failed is named with the seed",
        "that repeats it: `TRUST_SEED='NAME' TRUST=full python -m pytest TEST`.",
        "",
        f"Last run: {found['date']}, {found['commit']}, {found['machine']};",
        f"{found['seconds'] / 60:.0f} minutes of tests.",
        "",
        "| | tried | must hold | done | tests passed |",
        "| --: | --- | --- | --- | --- |",
    ]
    for number, item in ITEMS.items():
        one = found["items"].get(str(number))
        if not one or not one["tests"]:
            lines.append(f"| {number} | {item.what} | {item.must} | not yet | |")
            continue
        did = _said(one["did"])
        skipped = f", {one['skipped']} skipped" if one["skipped"] else ""
        bad = f", **{len(one['failed'])} failed**" if one["failed"] else ""
        lines.append(
            f"| {number} | {item.what} | {item.must} | {did} | {one['passed']} of {one['tests']}{skipped}{bad} |"
        )
    failures = [test for one in found["items"].values() for test in one["failed"]]
    if failures:
        seeds = sorted({seed for one in found["items"].values() for seed in one["seeds"]})
        lines += ["", "## Failed", "", *(f"- `{test}`" for test in dict.fromkeys(failures))]
        lines += [f"- seed `{seed}`" for seed in seeds]
    return "\n".join(lines) + "\n"


def main() -> None:
    """See the head of this file."""
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    if asked == "tests":
        print(*existing())
        return
    noted, out = ROOT / "results" / "trust.json", ROOT / "docs" / "trust.md"
    if asked != "page":
        run = json.loads((ROOT / "tests" / ".last-run.json").read_text("utf-8"))
        rows = {test: row for test, row in run.items() if row.get("scale") == FULL}
        if not rows:
            sys.exit("No full run is on record: make trust.")
        noted.write_text(json.dumps(result(rows), indent=2) + "\n", "utf-8")
    out.write_text(page(json.loads(noted.read_text("utf-8"))), "utf-8")
    print(f"{out.relative_to(ROOT)}: {json.loads(noted.read_text('utf-8'))['figure']}")


if __name__ == "__main__":
    main()
