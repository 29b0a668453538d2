"""predict and evaluate: rows in their order, whatever is in them, on any machine that has the run."""

import csv
import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import lamina
from lamina.core import calls
from lamina.core.errors import DataError, SettingError
from lamina.verbs.fit import Fitting
from lamina.verbs.predict import harmless

SHORT = {"plan.evaluations": 2, "lr": 0.02}


@pytest.fixture
def table(workplace):
    """A CSV with a number, a category, gaps, and labels that a spreadsheet would take for formulas."""
    rng = np.random.default_rng(0)
    rows = ["x,colour,y"]
    for i in range(240):
        x = rng.normal()
        rows.append(f"{'' if i % 40 == 7 else round(x, 4)},{['red', 'green', ''][i % 3]},{'=cmd' if x > 0 else '-1'}")
    path = workplace / "train.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def run(table):
    return lamina.fit("train.csv", target="y", model="mlp_tiny", budget="60steps", set=SHORT, out="run")


def test_rows_are_answered_in_their_order_whatever_is_missing_or_new(run, workplace):
    (workplace / "new.csv").write_text("colour,x\nred,2\nviolet,-2\n,2\ngreen,\nred,-2\n")
    answers = run.predict("new.csv")
    assert [answers["y"][i] for i in (0, 1, 2, 4)] == ["=cmd", "-1", "=cmd", "-1"]
    assert len(answers["y"]) == 5
    samples = [("red", 2), ("violet", -2), (None, 2), ("green", None)]
    alone = [run.predict({"colour": [colour], "x": [x]})["y"][0] for colour, x in samples]
    assert alone == answers["y"][:4]


def test_the_target_is_not_looked_at(run):
    sample = {"x": [1.0, -1.0], "colour": ["red", "red"]}
    assert run.predict({**sample, "y": ["never seen", None]}) == run.predict(sample)


def test_a_column_that_is_missing_is_named_with_the_nearest(run):
    with pytest.raises(DataError, match=r"lacks the column 'colour' that the run learnt from\. Did you mean 'color'\?"):
        run.predict({"x": [1.0], "color": ["red"]})


def test_what_is_in_memory_and_what_is_read_again_answer_equally(table):
    fitting = Fitting("train.csv", target="y", model="mlp_tiny", budget="30steps", set=SHORT, out="run")
    for _ in fitting.ticks():
        pass
    parts = fitting.parts
    with torch.no_grad():
        batch = parts.data.take(torch.arange(240))
        here = parts.task.predict(parts.model, batch)["probabilities"]
        model = lamina.open("run").model()
        there = parts.task.predict(model, batch)["probabilities"]
    assert torch.equal(here, there)
    assert calls.reads(model) == ("numbers", "categories", "image")


def test_a_run_moved_elsewhere_answers_the_same(run, workplace):
    """Only weights, run.json and fields are taken along, and another process reads them."""
    away = workplace / "far" / "away"
    away.mkdir(parents=True)
    for name in ("model.safetensors", "run.json"):
        shutil.copy(workplace / "run" / name, away)
    shutil.copytree(workplace / "run" / "fields", away / "fields")
    here = run.predict("train.csv")
    shutil.rmtree(workplace / "run")
    code = "import lamina, json; print(json.dumps(lamina.open('.').predict('../../train.csv')))"
    done = subprocess.run([sys.executable, "-c", code], cwd=away, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == here


def test_files_of_answers_hold_probabilities_and_no_formulas(run):
    run.predict({"x": [2.0, -2.0], "colour": ["red", "red"]}, out="answers.csv")
    with open("answers.csv", newline="") as file:
        header, first, second = csv.reader(file)
    assert header == ["y", "confidence", "p(-1)", "p(=cmd)"]
    assert first[0] == "'=cmd" and second[0] == "-1", "what is a number stays one"
    assert float(first[2]) + float(first[3]) == pytest.approx(1, abs=2e-6)
    run.predict({"x": [2.0], "colour": ["red"]}, out="answers.jsonl")
    with open("answers.jsonl") as file:
        line = json.loads(file.read())
    assert line["y"] == "=cmd" and set(line) == set(header)


@pytest.mark.parametrize(
    ("value", "written"),
    [("=1+1", "'=1+1"), ("@a", "'@a"), ("+x", "'+x"), ("-5.5", "-5.5"), ("+3", "+3"), ("a=b", "a=b"), (-2.5, -2.5)],
)
def test_text_that_a_spreadsheet_would_run_is_made_harmless(value, written):
    assert harmless(value) == written


def test_a_file_of_another_kind_is_refused_before_anything_is_computed(run):
    with pytest.raises(SettingError, match=r"--out x.xlsx: answers are written as .csv or .jsonl"):
        run.predict("nothing.csv", out="x.xlsx")
    with pytest.raises(SettingError, match="there is no folder nowhere"):
        run.predict("train.csv", out="nowhere/x.csv")
    with pytest.raises(SettingError, match="predict needs a source to answer for"):
        run.predict()


def test_another_source_is_measured_over_all_its_rows(run, workplace):
    lines = (workplace / "train.csv").read_text().splitlines()
    (workplace / "test.csv").write_text("\n".join([lines[0], *lines[1:51]]) + "\n")
    found = run.evaluate("test.csv")
    answers = run.predict("test.csv")["y"]
    right = np.mean([a == line.rsplit(",", 1)[1] for a, line in zip(answers, lines[1:51], strict=True)])
    assert found["accuracy"]["count"] == 50 and found["accuracy"]["value"] == pytest.approx(right)
    assert run.evaluate() == run.about["metrics"], "without a source, what fit measured"
    with pytest.raises(DataError, match="lacks the target column y, so nothing can be measured"):
        run.evaluate({"x": [1.0], "colour": ["red"]})


def test_a_label_that_training_did_not_see_cannot_be_measured(run, workplace):
    (workplace / "test.csv").write_text("x,colour,y\n1,red,=cmd\n2,red,other\n")
    with pytest.raises(DataError, match='"other"'):
        run.evaluate("test.csv")


@pytest.mark.parametrize(
    "text",
    ["x,colour\n2,red\n-2,red\n", '{"x": 2, "colour": "red"}\n{"x": -2, "colour": "red"}\n'],
    ids=["csv", "jsonl"],
)
def test_standard_input_is_answered_in_the_shell(run, monkeypatch, capsys, text):
    from lamina.cli.main import main

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    monkeypatch.setattr(sys, "argv", ["lamina", "predict", "run", "-"])
    main()
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows[0] == ["y", "confidence"] and [row[0] for row in rows[1:]] == ["'=cmd", "-1"]


def test_pictures_that_cannot_be_read_are_refused_by_name(workplace):
    for split in ("train", "new"):
        for name, tone in (("dark", 20), ("light", 220)):
            (workplace / split / name).mkdir(parents=True)
            for i in range(8):
                Image.new("L", (8, 8), tone + i).save(workplace / split / name / f"{i}.png")
    run = lamina.fit("train", model="mlp_tiny", budget="20steps", set=SHORT)
    assert run.predict("new")["label"] == ["dark"] * 8 + ["light"] * 8
    (workplace / "new" / "dark" / "3.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"1 sample of new cannot be read .*3.png: the file is empty.* Mend or remove"):
        run.predict("new")
    assert run.evaluate("new")["accuracy"]["count"] == 15
