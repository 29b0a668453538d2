"""The report of each problem: a sound page with the same parts, whose figures are those of run.json."""

import json
import re
import shutil

import numpy as np
import pytest
import torch

import lamina
from lamina.core.errors import RunError
from lamina.report import blocks, page
from lamina.verbs import report as reports
from tests.report.reading import Page, check
from tests.verbs.test_seven import EXACT, PROBLEMS, fitted

# What a report of each problem shows beside what all of them do.
SHOWN = {
    "diamonds": {"data": "Spread of price", "results": "beside the truth|Residuals", "examples": "Far too high"},
    "crashes": {"data": "Classes of dead", "results": "Confusion matrix|By class|Calibration|Slices"},
    "pictures": {"data": "Classes of label", "results": "frequent confusions", "examples": "Wrong, and surest of it"},
    "language": {"data": "characters (median)", "examples": "Texts it writes|from nothing|Worst and best documents"},
    "gan": {"training": "discriminator", "examples": "Samples through training|Nearest training pictures"},
    "graph": {"data": "neighbours of a node|shown with the same answer", "results": "Confusion matrix"},
    "cartpole": {"training": "steps made in the environment", "examples": "An episode, as observed"},
}  # fmt: skip


@pytest.mark.parametrize("name", PROBLEMS)
def test_each_problem_has_a_page_with_the_same_parts_and_the_figures_of_its_run(name, tmp_path):
    if name == "cartpole":
        pytest.importorskip("gymnasium", reason="gymnasium is not installed: pip install 'lamina[rl]'")
    run = fitted(name, tmp_path)
    path = run.folder / "report.html"
    written = check(path)
    for part, words in SHOWN[name].items():
        for one in words.split("|"):
            assert one in written.text[part], f"{part} lacks {one!r}"
    table = {row[0].removesuffix(" ★"): row for row in _rows(run, "Metrics beside the baseline")}
    for metric, value in run.about["metrics"].items():
        row = table[metric]
        assert row[1].text.split(" ")[0] == blocks.number(value["value"])
        if value["low"] is not None:
            assert row[2] == f"{blocks.number(value['low'])} – {blocks.number(value['high'])}"
        assert row[-1] == f"{value['count']:,}"
        for i, rival in enumerate(run.about["baseline"].values()):
            assert row[3 + i] == blocks.number((rival.get(metric) or {}).get("value"))
    assert blocks.number(run.about["metrics"][run.about["metric"]]["value"]) in written.text["head"]
    before = path.read_text(encoding="utf-8")
    assert lamina.report(run.folder) == path
    again = Page(path)
    # from the folder alone and the data read anew, it is the same page
    assert again.text["data"] == written.text["data"]
    assert again.text["results"] == written.text["results"]
    if name != "language":
        assert path.read_text(encoding="utf-8") == before


def _sections(run):
    return {s.key: s for s in page.sections(reports.facts(run))}


def _rows(run, title):
    found = [b for s in _sections(run).values() for b in s.blocks if getattr(b, "title", "") == title]
    assert len(found) == 1, title
    return found[0].rows


def test_what_is_counted_from_answers_agrees_with_the_metrics(tmp_path):
    """The matrix with the accuracy, the classes with the mean F1, the curve with the calibration error."""
    run = fitted("pictures", tmp_path, budget="60steps")
    matrix = np.array([[float(c.text.replace(",", "")) for c in row[1:]] for row in _rows(run, "Confusion matrix")])
    assert matrix.sum() == run.about["metrics"]["accuracy"]["count"]
    assert np.trace(matrix) / matrix.sum() == pytest.approx(run.metrics["accuracy"], abs=1e-12)
    classes = _rows(run, "By class")
    assert np.mean([float(row[3].text) for row in classes]) == pytest.approx(run.metrics["f1"], abs=1e-3)
    recall = [float(row[2].text) for row in classes]
    assert np.mean(recall) == pytest.approx(run.metrics["balanced_accuracy"], abs=1e-3)
    curve = page.plots(reports.facts(run))["calibration"]
    assert blocks.number(run.metrics["calibration_error"]) in curve.alt


def test_slices_and_worst_rows_are_those_of_the_answers(tmp_path):
    run = fitted("diamonds", tmp_path)
    slices = _rows(run, "Slices")
    assert slices[0][0] == "all rows" and slices[0][1].text == blocks.number(run.metrics["mae"])
    errors = [float(row[1].text.replace(",", "")) for row in slices[1:]]
    assert errors == sorted(errors, reverse=True) and errors[0] > run.metrics["mae"]  # the worst first
    answered = run.predict(tmp_path / "data" / "diamonds.csv")["price"]
    import pandas

    frame = pandas.read_csv(tmp_path / "data" / "diamonds.csv").assign(answer=answered)
    test = reports.facts(run).data.splits["test"].numpy()
    part = frame.iloc[test]
    off = (part.answer - part.price).abs()
    for words, value, count, _ in slices[1:]:
        if match := re.fullmatch(r"(cut|color|clarity) = (.+)", words):
            chosen = off[part[match[1]] == match[2]]
            assert count == f"{len(chosen):,}" and float(value.text.replace(",", "")) == pytest.approx(
                chosen.mean(), rel=1e-3
            )
    found = {b.title: b for b in _sections(run)["examples"].blocks}
    highest = part.iloc[int(np.argmax((part.answer - part.price).to_numpy()))]
    assert blocks.number(float(highest.answer)) in found["Far too high"].examples[0].title


def test_a_threshold_is_chosen_on_the_validation_split_and_shown_on_the_test_split(tmp_path):
    from sklearn.metrics import f1_score, precision_score, recall_score

    rng = np.random.default_rng(0)
    a = rng.normal(size=1200)
    rare = (a + rng.normal(0, 0.7, 1200) > 1.2).astype(int)
    run = lamina.fit(
        {"a": a, "y": rare}, target="y", model="mlp_tiny", budget="60steps", out=tmp_path / "run", set=EXACT
    )
    frame = {"a": a, "y": rare}
    known = reports.facts(run, frame)
    rows = next(
        b for s in page.sections(known) for b in s.blocks if getattr(b, "title", "") == "Choosing a threshold"
    ).rows
    test = known.data.splits["test"].numpy()
    with torch.no_grad():
        batch = known.data.take(torch.as_tensor(test))
        score = known.task.predict(known.model, batch)["probabilities"][:, 1].numpy()
    for _, cut, precision, recall, f1, share in rows:
        taken = score >= float(cut) - 5e-5
        assert float(share.rstrip("%")) == pytest.approx(100 * taken.mean(), abs=2)
        for shown, measure in ((precision, precision_score), (recall, recall_score), (f1, f1_score)):
            if shown != "–":
                assert float(shown) == pytest.approx(measure(rare[test], taken, zero_division=0), abs=0.05)
    assert known.gone == []


def test_a_generator_keeps_samples_as_it_learns_and_a_hostile_one_is_left_out(tmp_path):
    run = fitted("gan", tmp_path)
    kept = sorted(p.name for p in (run.folder / "samples").iterdir())
    assert kept == ["00000006.png", "00000012.png", "00000018.png", "00000024.png"]
    assert len({(run.folder / "samples" / name).read_bytes() for name in kept}) == 4
    (run.folder / "samples" / kept[0]).write_bytes(b"<svg onload=alert(1)>")
    shown = check(run.report())
    assert "nine samples after 6 updates" not in shown.alts and "nine samples after 12 updates" in shown.alts


def test_an_environment_that_draws_itself_is_shown_as_a_filmstrip(tmp_path):
    gymnasium = pytest.importorskip("gymnasium", reason="gymnasium is not installed: pip install 'lamina[rl]'")

    class Lamp(gymnasium.Env):
        metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
        action_space = gymnasium.spaces.Discrete(2)
        observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)

        def __init__(self, render_mode=None):
            self.render_mode, self.at = render_mode, 0

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.at = 0
            return np.zeros(2, np.float32), {}

        def step(self, action):
            self.at += 1
            return np.array([self.at / 30, action], np.float32), 1.0, self.at >= 30, False, {}

        def render(self):
            return np.full((40, 60, 3), 8 * self.at, np.uint8)

    gymnasium.register("Lamp-v0", Lamp)
    try:
        run = lamina.fit(
            "gym:Lamp-v0", budget="60steps", out=tmp_path / "run",
            set={**EXACT, "first": 50, "task.episodes": 2, "buffer": 500, "plan.evaluations": 2},
        )  # fmt: skip
    finally:
        gymnasium.registry.pop("Lamp-v0")
    shown = check(run.folder / "report.html")
    assert "An episode" in shown.text["examples"] and "step 29" in shown.text["examples"]
    assert sum(alt.startswith("the environment after") for alt in shown.alts) == 16


def test_a_loader_has_results_without_examples_and_arrays_have_a_shape(tmp_path):
    x = torch.randn(240, 2, 3, generator=torch.Generator().manual_seed(0))
    y = (x.mean((1, 2)) > 0).long()
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 2))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=32)
    for name, source in (("loader", loader), ("tensors", (x, y))):
        run = lamina.fit(source, target="y", model=network, budget="10steps", out=tmp_path / name, set=EXACT)
        shown = check(run.folder / "report.html")
        assert "Confusion matrix" in shown.text["results"]
        assert ("arrays of 2 × 3" in shown.text["data"]) == (name == "tensors")


def test_several_targets_have_each_their_own_results(tmp_path):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=400), rng.normal(size=400)
    with open(tmp_path / "two.csv", "w") as file:
        file.write("a,b,side,size\n")
        file.writelines(
            f"{x:.4f},{y:.4f},{'left' if x > y else 'right'},{x + y:.4f}\n" for x, y in zip(a, b, strict=True)
        )
    run = lamina.fit(tmp_path / "two.csv", target="side,size", budget="20steps", out=tmp_path / "run", set=EXACT)
    shown = check(run.folder / "report.html")
    for words in ("side: Confusion matrix", "side: Choosing a threshold", "size: Residuals", "size: Slices"):
        assert words in shown.text["results"]
    accuracy = blocks.number(run.metrics["side/accuracy"])
    matrix = np.array([[float(c.text) for c in row[1:]] for row in _rows(run, "side: Confusion matrix")])
    assert blocks.number(float(np.trace(matrix) / matrix.sum())) == accuracy


def test_the_command_repeats_the_run(tmp_path, monkeypatch):
    import shlex

    from typer.testing import CliRunner

    from lamina.cli.main import app

    run = fitted("graph", tmp_path)
    command = shlex.split(_sections(run)["repeat"].blocks[0].lines[0])
    assert command[:2] == ["lamina", "fit"]
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(app, [*command[1:], "--out", "again"])
    assert ended.exit_code == 0, ended.output
    again = json.loads((tmp_path / "again" / "run.json").read_text())
    assert again["metrics"] == run.about["metrics"] and again["weights_sha256"] == run.about["weights_sha256"]
    shutil.rmtree(tmp_path / "again")


def test_the_shell_writes_where_it_is_told(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from lamina.cli.main import app

    run = fitted("graph", tmp_path)
    ended = CliRunner().invoke(app, ["report", str(run.folder), "--out", str(tmp_path / "other.html"), "--json"])
    assert ended.exit_code == 0 and json.loads(ended.stdout) == {"report": str(tmp_path / "other.html")}
    check(tmp_path / "other.html")
    ended = CliRunner().invoke(app, ["report", str(run.folder), "--out", str(tmp_path / "none" / "other.html")])
    assert isinstance(ended.exception, RunError) and "there is no folder" in str(ended.exception)


def test_tags_have_a_table_of_their_own(tmp_path):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=300), rng.normal(size=300)
    rows = []
    for x, y in zip(a, b, strict=True):
        said = [tag for tag, has in (("high", x > 0), ("wide", y > 0), ("both", x > 0 < y)) if has]
        rows.append(f"{x:.3f},{y:.3f},{'|'.join(said)}")
    (tmp_path / "tags.csv").write_text("\n".join(["a,b,said", *rows]) + "\n")
    run = lamina.fit(
        tmp_path / "tags.csv", target="said", budget="40steps", out=tmp_path / "run",
        set={**EXACT, "data.types": {"said": "tags"}},
    )  # fmt: skip
    assert run.about["task"]["name"] == "tagging"
    shown = check(run.folder / "report.html")
    assert "Tags of said" in shown.text["data"] and "By tag" in shown.text["results"]
    counted = {row[0]: int(row[-1]) for row in _rows(run, "By tag")}
    test = reports.facts(run).data.splits["test"].numpy()
    assert counted["high"] == (a[test] > 0).sum() and counted["both"] == ((a > 0) & (b > 0))[test].sum()
    f1 = [float(row[3].text) for row in _rows(run, "By tag")]
    assert np.mean(f1) == pytest.approx(run.metrics["f1_macro"], abs=1e-3)


@pytest.mark.covers("rl/sample-efficiency")
def test_what_was_reached_is_shown_over_the_steps_made_in_the_environment(tmp_path):
    pytest.importorskip("gymnasium", reason="gymnasium is not installed: pip install 'lamina[rl]'")
    run = fitted("cartpole", tmp_path)
    (series,) = page.plots(reports.facts(run))["frames"].series
    assert list(series.y) == [line["valid"]["mean_return"] for line in run.history if "valid" in line]
    made = [line["loss/frames"] for line in run.history if "loss/frames" in line]
    assert made[0] <= series.x[0] < series.x[-1] == round(made[-1])
    shown = check(run.folder / "report.html")
    drawn = [f for f in shown.figures.values() if f["x"] == "steps made in the environment"]
    assert len(drawn) == 1 and drawn[0]["data"][0] == list(series.x)


@pytest.mark.covers("control/loss-and-accuracy-curves")
def test_the_curves_of_loss_and_accuracy_are_those_that_were_logged(tmp_path):
    run = fitted("pictures", tmp_path)
    drawn = {f["y"]: f for f in check(run.folder / "report.html").figures.values()}
    logged = [line for line in run.history if "loss" in line]
    assert drawn["loss, mean since the last point"]["data"][0] == [line["updates"] for line in logged]
    assert drawn["loss, mean since the last point"]["data"][1] == pytest.approx([v["loss"] for v in logged], rel=1e-5)
    judged = [line["valid"]["accuracy"] for line in run.history if "valid" in line]
    series = drawn["accuracy"]["data"][1]
    assert [v for v in series if v is not None] == pytest.approx(judged, rel=1e-5)
    linear = run.about["baseline"]["linear"]["accuracy"]["value"]
    names = [one["name"] for one in drawn["accuracy"]["series"]]
    flat = drawn["accuracy"]["data"][1 + names.index("baseline linear, test split")]
    assert [v for v in flat if v is not None] == pytest.approx([linear, linear], rel=1e-5)
