"""What is looked at before step 1: which layer does not fit, whether memory suffices; and that no trace stays."""

import json
import time

import numpy as np
import pytest
import torch
from torch import nn

import lamina
from lamina.core.errors import SettingError, ShapeError
from lamina.data import opening
from lamina.train import memory
from lamina.verbs import assemble, fit, preflight
from tests import datasets

QUICK = {"plan.threads": 1, "plan.precision": "float32"}


class Net(nn.Module):
    """Anything that reads one input."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x)


class Words(nn.Module):
    """An embedding of categories."""

    def __init__(self, known: int):
        super().__init__()
        self.table = nn.Embedding(known, 2)

    def forward(self, categories):
        return self.table(categories).sum(1)


def pictures(count: int = 40):
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, (count, 8, 8, 3), dtype=np.uint8), np.arange(count) % 2


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            Net(nn.Linear(2, 16), nn.ReLU(), nn.Linear(32, 2)),
            r"failed in layer 'layers.2' \(Linear\): it got \(2, 16\) float32, where \(…, 32\) float32 was expected. "
            r"The layer before it, 'layers.1' \(ReLU\), gives \(2, 16\). Set in_features=16.",
        ),
        (
            Net(nn.Linear(2, 16), nn.BatchNorm1d(8), nn.Linear(16, 2)),
            r"layer 'layers.1' \(BatchNorm1d\): it got \(2, 16\) float32, where \(batch, 8, …\) .* "
            r"Set num_features=16.",
        ),
        (
            Net(nn.Linear(2, 2).double()),
            r"'layers.0' \(Linear\): .* float32, where float64, as its weights are.* \.float\(\)",
        ),
        (Net(nn.Linear(2, 16), nn.Unflatten(1, (3, 5))), r"failed in layer 'layers.1' \(Unflatten\): it got \(2, 16\)"),
    ],
)
def test_the_layer_that_does_not_fit_is_named_with_what_it_got_and_expected(columns, workplace, model, said):
    table = {k: columns[k] for k in ("a", "b", "y")}
    with pytest.raises(ShapeError, match=said):
        lamina.fit(table, target="y", model=model, budget="1steps", set=QUICK)
    assert not (workplace / "runs").exists()


def test_a_convolution_of_other_channels_is_named(workplace):
    net = Net(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 2))
    with pytest.raises(
        ShapeError, match=r"'layers.0' \(Conv2d\): it got \(2, 3, 8, 8\) .*\(batch, 1, …, …\).*in_channels=3"
    ):
        lamina.fit(pictures(), target="y", model=net, budget="1steps", set=QUICK)


def test_categories_beyond_an_embedding_are_named(workplace):
    table = {"c": list("uvwx") * 20, "y": ["no", "yes"] * 40}
    with pytest.raises(
        ShapeError, match=r"'table' \(Embedding\).*whole numbers from 0 to 1 was expected.*num_embeddings=\d"
    ):
        lamina.fit(table, target="y", model=Words(2), budget="1steps", set=QUICK)


def test_what_fails_in_training_alone_is_named_too(workplace):
    net = Net(nn.Flatten(), nn.Linear(192, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    said = r"The first step of 'supervised' was tried on .* in layer 'layers.2' \(BatchNorm1d\): it got \(1, 4\)"
    with pytest.raises(ShapeError, match=said):
        lamina.fit(pictures(), target="y", model=net, budget="1steps", set={**QUICK, "method.batch": 1})
    assert not (workplace / "runs").exists()


def test_a_parameter_that_nothing_depends_on_is_warned_of(columns, workplace):
    net = Net(nn.Linear(2, 2))
    net.spare = nn.Linear(3, 3)
    table = {k: columns[k] for k in ("a", "b", "y")}
    run = lamina.fit(table, target="y", model=net, budget="2steps", set=QUICK)
    (found,) = (f for f in run.about["findings"] if f["where"] == "Network")
    assert found["what"] == "the loss does not depend on spare.weight, spare.bias, so they stay as made"
    assert "requires_grad_(False)" in found["remedy"]


# ------------------------------------------------------------------------------------------------------------- memory


def parts(columns, **asked):
    table = {k: columns[k] for k in ("a", "b", "y")}
    return assemble.assemble(table, target="y", model="mlp", pairs=["method.batch=64"], **asked)


def test_the_forecast_counts_weights_gradients_memories_and_what_a_sample_keeps(columns):
    net = Net(nn.Linear(2, 100, bias=False), nn.ReLU(), nn.Linear(100, 2, bias=False))
    table = {k: columns[k] for k in ("a", "b", "y")}
    made = assemble.assemble(table, target="y", model=net, pairs=["method.batch=64", "method.optimizer=adamw"])
    tried = preflight.rehearse(made.method, made.problem(0), made.plan.settled())
    weights = 4 * (200 + 200)
    assert tried.fixed == weights * (1 + 1 + 2) + weights * (1 + 2)  # and once more where a checkpoint is written from
    assert 4 * (2 + 100) <= tried.sample <= 4 * (2 + 100 + 100 + 20)  # inputs, what ReLU keeps, and the loss's scores
    assert tried.batch == 64 and tried.bytes(4) == tried.fixed + tried.sample * 16


def test_a_step_beyond_what_is_left_is_warned_of_with_a_cut_that_fits(columns, monkeypatch):
    made = parts(columns)
    tried = preflight.rehearse(made.method, made.problem(0), made.plan.settled())
    monkeypatch.setattr(memory, "left", lambda device: int(tried.bytes(3) / preflight.SAFE))
    (found,) = preflight.look(made, 0)
    assert (found.level, found.where) == ("warning", "Memory")
    assert "a step takes about" in found.what and "for a batch of 64; cpu has" in found.what and "left" in found.what
    assert found.remedy == "Cut it: --set plan.accumulate=4, which learns the same, or --set method.batch=16."
    assert preflight.look(parts(columns, given={"plan": {"accumulate": 4}}), 0) == []


def test_a_step_beyond_the_machine_is_refused_before_a_folder_is_made(columns, workplace, monkeypatch):
    monkeypatch.setattr(memory, "left", lambda device: 1_000)
    monkeypatch.setattr(memory, "whole", lambda device: 2_000)
    table = {k: columns[k] for k in ("a", "b", "y")}
    with pytest.raises(SettingError, match=r"Memory: a step takes about .* cpu has 2.0 kB. Take a smaller network"):
        lamina.fit(table, target="y", model="mlp_tiny", budget="1steps", set=QUICK)
    assert not (workplace / "runs").exists()


def test_this_machine_says_what_memory_it_has():
    assert 10**8 < memory.left("cpu") <= memory.whole("cpu")


# --------------------------------------------------------------------------------------------------------- no trace


def test_the_try_leaves_no_trace_in_weights_statistics_or_random_numbers(workplace, monkeypatch):
    found = []
    for name in ("with", "without"):
        if name == "without":
            monkeypatch.setattr(fit.preflight, "look", lambda parts, seed: [])
        net = Net(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.3), nn.Flatten(), nn.Linear(144, 2))
        torch.manual_seed(1)
        for p in net.parameters():
            nn.init.normal_(p, std=0.1)
        run = lamina.fit(pictures(), target="y", model=net, budget="3steps", set=QUICK, out=workplace / name)
        found.append([(workplace / name / f).read_bytes() for f in ("model.safetensors", "metrics.jsonl")])
        assert json.loads((workplace / name / "run.json").read_text())["steps"] == run.about["steps"] == 3
    assert found[0] == found[1]


# -------------------------------------------------------------------------------------------------------------- time


def chats(folder):
    path = folder / "chats.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in datasets.chitchat()), encoding="utf-8")
    return str(path)


SETS = {
    "diamonds": lambda folder: (datasets.diamonds(), {"target": "price"}),
    "crashes": lambda folder: (datasets.nasscds(), {"target": "dead", "pairs": ["data.weight=weight"]}),
    "conversations": lambda folder: (
        chats(folder),
        {"task": "language", "pairs": ["data.types={'text':'text(tokens=bytes)'}"]},
    ),
    "clothing": lambda folder: ("fashion-mnist", {}),
    "packages": lambda folder: (
        str(datasets.debian_graph(folder)),
        {"target": "section", "pairs": ["data.group=source", "data.types={'text':'text'}"]},
    ),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in ("clothing", "packages") else []) for n in SETS]
)
def test_all_that_is_looked_at_takes_less_than_two_seconds(name, tmp_path, monkeypatch):
    """Beside reading the data, and the network's own first step forward and backward."""
    if name == "clothing":
        monkeypatch.setenv("LAMINA_DATA", str(datasets.folder("dataset-fashion-mnist") / "usr/share/datasets"))
    spent = []
    inspected = opening._inspected

    def timed(*words):
        start = time.process_time()
        out = inspected(*words)
        spent.append(time.process_time() - start)
        return out

    monkeypatch.setattr(opening, "_inspected", timed)
    source, asked = SETS[name](tmp_path)
    made = assemble.assemble(source, **asked)
    start = time.process_time()
    preflight.look(made, 0)
    spent.append(time.process_time() - start)
    assert sum(spent) < 2, spent
