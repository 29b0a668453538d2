"""Reports of odd runs: stopped, without their data, of objects in memory, damaged, with hostile names and diaries."""

import json
import re

import numpy as np
import pytest
import torch

import lamina
from lamina.core.errors import DataWarning, RunError
from lamina.report import blocks
from lamina.train.trainer import Stopped
from lamina.verbs import report as reports
from tests.report.reading import check
from tests.verbs.test_seven import EXACT, fitted


def test_a_run_that_was_stopped_says_so_and_how_to_go_on(tmp_path):
    def stop(fitting, tick):
        if tick.step == 20:
            fitting.trainer.stop("SIGTERM")

    with pytest.raises(Stopped):
        fitted("pictures", tmp_path, watch=stop)
    assert not (tmp_path / "run" / "report.html").exists()
    shown = check(lamina.report(tmp_path / "run"))
    assert "It was stopped after 20 updates" in shown.text["head"]
    assert f"lamina fit --resume {tmp_path / 'run'}" in shown.text["repeat"]
    assert "Classes of label" in shown.text["data"] and "Metrics" not in shown.text["results"]


def test_where_the_data_are_gone_or_changed_the_page_says_so_and_keeps_what_the_run_knows(tmp_path):
    run = fitted("graph", tmp_path)
    nodes = tmp_path / "data" / "nodes.csv"
    whole = nodes.read_text()
    nodes.write_text(whole.replace("Officer", "Sailor"))
    shown = check(run.report())
    assert "fingerprint differs" in shown.text["data"] and "Confusion" not in shown.text["results"]
    nodes.unlink()
    shown = check(run.report())
    assert "so what needs them is left out" in shown.text["data"] and "2 labels: " in shown.text["data"]
    assert blocks.number(run.metrics["accuracy"]) in shown.text["results"]
    nodes.write_text(whole)
    assert "Confusion" in check(run.report()).text["results"]


def test_an_object_in_memory_and_an_own_network_are_asked_for_again(tmp_path):
    rng = np.random.default_rng(0)
    frame = {"a": rng.normal(size=200), "b": rng.normal(size=200)}
    frame["z"] = 2 * frame["a"] - frame["b"]
    network = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    run = lamina.fit(frame, target="z", model=network, budget="20steps", out=tmp_path / "run", set=EXACT)
    assert "Residuals" in check(run.folder / "report.html").text["results"]
    shown = check(lamina.report(tmp_path / "run"))
    assert "one's own model, which no folder holds" in shown.text["data"]
    assert "What stands in <…> was an object in memory" in shown.text["repeat"]
    assert "Residuals" in check(run.report(frame)).text["results"]


def test_without_a_test_split_the_page_says_that_its_figures_flatter(tmp_path):
    run = fitted("pictures", tmp_path, set={**EXACT, "data.fractions": [0.9, 0.0, 0.1]})
    assert "accuracy" in check(run.folder / "report.html").text["results"]
    run = fitted("pictures", tmp_path / "b", set={**EXACT, "data.fractions": [1.0, 0.0, 0.0]})
    shown = check(run.folder / "report.html")
    assert "these rows were learnt from" in shown.text["results"]
    assert "no test split of its own" in shown.text["model"]


HOSTILE = [
    "<script>alert(1)</script>", "</script><img src=x onerror=alert(2)>", "\x1b[31mred\x1b[0m\x07",
    "\u202egnp.exe\u202c", "{{ 7 * 7 }}{% raw %}", "=cmd|' /C calc'!A0", "n" * 200, '" onmouseover="alert(3)', "a\nb",
]  # fmt: skip


def test_names_and_values_of_any_kind_are_shown_and_do_nothing(tmp_path):
    rng = np.random.default_rng(0)
    count = len(HOSTILE)
    table = {name: rng.normal(size=40 * count) for name in HOSTILE[:5]}
    table["word"] = [HOSTILE[i % count] for i in range(40 * count)]
    table["</title><h1>"] = [HOSTILE[(3 * i) % count] for i in rng.integers(0, 999, 40 * count)]
    run = lamina.fit(table, target="</title><h1>", model="mlp_tiny", budget="4steps", out=tmp_path / "run", set=EXACT)
    shown = check(run.folder / "report.html")
    html = re.sub(r"<script>.*?</script>|<style>.*?</style>", "", shown.html, flags=re.S)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", html)
    assert "<script>alert" not in html and "<img src=x" not in html and "<h1>" in html
    assert html.count("<h1>") == 1 and "7 * 7" in html and "49{%" not in html
    assert "\\x1b[31mred" in shown.text["data"] and "\\u202egnp.exe" in shown.text["data"]
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    assert policy and "default-src 'none'" in policy[1] and "unsafe-inline'; script-src 'sha256-" in policy[1]
    brief = run._repr_html_()
    assert "<h1>" not in brief and "accuracy" in brief


def test_damaged_and_foreign_folders_are_refused(tmp_path):
    run = fitted("graph", tmp_path)
    with pytest.raises(RunError, match="is no run folder"):
        lamina.report(tmp_path)
    weights = run.folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-3] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(RunError, match="SHA-256"):
        lamina.report(run.folder)
    about = (run.folder / "run.json").read_text()
    (run.folder / "run.json").write_text(about.replace('"seed": 0', '"seed": 1', 1))
    with pytest.raises(RunError, match=r"run\.json"):
        lamina.report(run.folder)


def test_a_report_that_fails_leaves_the_run_done_and_says_what_to_try(tmp_path, monkeypatch):
    def broken(facts):
        raise ZeroDivisionError("no rows")

    monkeypatch.setattr(reports, "page", broken)
    with pytest.warns(DataWarning, match=r"is trained, but its report could not be written \(ZeroDivision"):
        run = fitted("pictures", tmp_path)
    assert run.status == "done" and run.metrics and not (run.folder / "report.html").exists()


def test_a_page_of_noise_stays_small(tmp_path):
    """Large colourful pictures that nothing compresses, learnt from and made."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (120, 96, 96, 3), dtype=np.uint8)
    run = lamina.fit(
        (pictures, (np.arange(120) % 3).tolist()), target="y", model="lenet_tiny", budget="2steps",
        out=tmp_path / "run", set=EXACT,
    )  # fmt: skip
    shown = check(run.folder / "report.html")
    assert len(shown.alts) > 30
    assert (run.folder / "report.html").stat().st_size < 1_500_000


def test_what_a_stranger_wrote_into_the_diaries_is_no_fault_of_ours(tmp_path):
    run = fitted("pictures", tmp_path)
    odd = [
        {"step": "x", "updates": [1], "loss": "<b>", "valid": 3}, {"updates": 1e300, "loss": 1e308, "stage": {}}, [], 7,
        {"valid": {"accuracy": None, "</script>": 1}, "step": -5}, {"updates": True, "seconds": "now"},
    ]  # fmt: skip
    for name in ("metrics", "timing", "events"):
        with open(run.folder / f"{name}.jsonl", "a") as file:
            file.writelines(json.dumps(line) + "\n" for line in [*odd, {f"n{i}": i for i in range(300)}])
            file.write('{"half')
    shown = check(run.report())
    assert len(shown.figures) < 60


def test_a_network_of_few_places_writes_as_much_as_it_has_room_for(tmp_path):
    """GPT-2 learns its places: sixty tokens had been asked of sixteen, and the report was given up."""
    run = fitted("language", tmp_path, model="gpt2_tiny", set={**EXACT, "batch": 4, "task.glance": 500, "context": 16})
    assert "goes on with" in check(run.folder / "report.html").text["examples"]
