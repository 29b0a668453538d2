"""docs/capabilities.md: every id of the scope, shown or not yet, by which test, with the figure it reached.

Reads docs/scope.tsv, tests/.last-run.json (what `make test`, `make learn` and `make peers` noted) and results/*.json.
An id counts as shown by a test that passed or by a figure that was reached; skipped and failed tests show nothing.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]


class Row(NamedTuple):
    """A line of the scope list."""

    id: str
    item: str
    shown_by: str


def read_scope() -> list[Row]:
    """The scope list, in its own order."""
    lines = (ROOT / "docs" / "scope.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return [Row(*[*line.split("\t"), "", ""][:3]) for line in lines if line]


def read_run() -> dict[str, dict[str, Any]]:
    """The last outcome of every test; empty where none ran."""
    path = ROOT / "tests" / ".last-run.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def read_results() -> dict[str, dict[str, Any]]:
    """The figures of results/*.json, by file name."""
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "results").glob("*.json"))
    }


def page(scope: list[Row], run: Mapping[str, Mapping[str, Any]], results: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole page, as Markdown."""
    tests: dict[str, list[str]] = {}
    for test, row in sorted(run.items()):
        if row["outcome"] == "passed":
            for id_ in row["covers"]:
                tests.setdefault(id_, []).append(test.partition("[")[0])
    figures: dict[str, list[str]] = {}
    for row in results.values():
        if row.get("passed"):
            for id_ in row.get("covers", []):
                must = f" (asked {row['must']})" if row.get("must") else ""
                figures.setdefault(id_, []).append(f"{row['figure']}{must}, {row['date']}, {row['commit']}")
                tests.setdefault(id_, []).append(row["test"].partition("[")[0])
    groups: dict[str, list[Row]] = {}
    for row in scope:
        groups.setdefault(row.id.partition("/")[0], []).append(row)
    shown = sum(row.id in tests for row in scope)

    lines = [
        "# Capabilities",
        "",
        "Made by `make capabilities` from the last test runs and from `results/`; not edited by hand. An id is shown",
        "by a test that passed, or by a figure that was reached. What only a skipped or a failed test covers is not.",
        "",
        f"**{shown} of {len(scope)} shown.**{_when(run)}",
        "",
        "| group | shown | of |",
        "| --- | --: | --: |",
        *(
            f"| [{name}](#{name}) | {sum(row.id in tests for row in rows)} | {len(rows)} |"
            for name, rows in groups.items()
        ),
    ]
    if results:
        lines += [
            "",
            "## Figures",
            "",
            "| figure | reached | asked | | machine | date, commit |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for name, row in results.items():
            met = "reached" if row.get("passed") else "**missed**"
            lines.append(
                f"| {name} | {row.get('figure', '')} | {row.get('must', '')} | {met} | {row.get('machine', '')} "
                f"| {row.get('date', '')}, {row.get('commit', '')} |"
            )
    for name, rows in groups.items():
        lines += ["", f"## {name}", "", "| id | what | shown by | figure |", "| --- | --- | --- | --- |"]
        for row in rows:
            by = "<br>".join(f"`{test}`" for test in dict.fromkeys(tests.get(row.id, [])[:3])) or "not yet"
            lines.append(f"| {row.id} | {_cell(row.item)} | {by} | {_cell('; '.join(figures.get(row.id, [])))} |")
    return "\n".join(lines) + "\n"


def _when(run: Mapping[str, Mapping[str, Any]]) -> str:
    commits = sorted({(row["date"], row["commit"]) for row in run.values()})
    if not commits:
        return " No test run is on record: run `make test` first."
    passed = sum(row["outcome"] == "passed" for row in run.values())
    date, commit = commits[-1]
    return f" {passed} of {len(run)} tests on record passed; the last of them ran on {date} at {commit}."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    out = ROOT / "docs" / "capabilities.md"
    out.write_text(page(read_scope(), read_run(), read_results()), encoding="utf-8")
    print(f"{out.relative_to(ROOT)}: {out.read_text(encoding='utf-8').split('**')[1]}")
