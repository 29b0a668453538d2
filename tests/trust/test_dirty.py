"""Dirty data through `lamina fit`: it trains and says what it left out, or stops before the first step in one line."""

import csv
import json
import math
import sys

import pytest
import safetensors.numpy

from lamina.cli import main
from tests.trust.dirty import CASES, Case


@pytest.fixture
def ended(monkeypatch, capfd, tmp_path):
    """`ended(case)`: the status and what was said on standard error."""
    monkeypatch.chdir(tmp_path)

    def call(case: Case) -> tuple[int, str]:
        case.build(tmp_path)
        if case.without:
            monkeypatch.setitem(sys.modules, case.without, None)
        monkeypatch.setattr(sys, "argv", ["lamina", "fit", *case.words, "--out", "run"])
        status = 0
        try:
            main.main()
        except SystemExit as end:
            status = int(end.code or 0)
        return status, capfd.readouterr().err

    return call


def test_there_are_forty_cases_and_more():
    assert len(CASES) >= 40


@pytest.mark.parametrize("name", CASES)
def test_dirty_data_are_said_and_left_out_or_refused_in_one_line(name, ended, tmp_path):
    case = CASES[name]
    status, said = ended(case)
    assert "Traceback" not in said, said
    assert [words for words in case.says if words not in said] == [], said
    if case.refused:
        assert status == 2, said
        lines = said.splitlines()
        (last,) = (line for line in lines if line.startswith("lamina: "))
        assert lines[-1] == last and all(words in last for words in case.says)
        assert not (tmp_path / "run").exists(), "a half-written run"
        return
    assert status == 0, said
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["status"] == "done" and about["steps"] == 3
    assert all(math.isfinite(metric["value"]) for metric in about["metrics"].values())
    weights = safetensors.numpy.load_file(tmp_path / "run" / "model.safetensors")
    assert weights and all(math.isfinite(float(abs(w).sum())) for w in weights.values())
    written = [*about["inferred"], *(f"{f['where']}: {f['what']}. {f['remedy']}" for f in about["findings"])]
    assert all(any(words in line for line in written) for words in case.says), written
    assert about["data"]["skipped"] == case.skipped
    if case.skipped:
        with (tmp_path / "run" / "skipped.csv").open(newline="") as file:
            rows = list(csv.reader(file))
        assert rows[0] == ["where", "why"] and len(rows) == 1 + case.skipped and all(why for _, why in rows[1:])
