"""What an engineer hands to `lamina.fit` in Python: frames, arrays, tensors, loaders, networks, losses, metrics."""

import numpy as np
import pandas
import polars
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import lamina
from lamina.core.errors import RunError, SettingError, ShapeError
from lamina.train.trainer import Stopped
from lamina.verbs.fit import Fitting


class Plain(nn.Module):
    """Somebody's own network: forward(x), no word of Lamina's in it."""

    def __init__(self, inputs=2, outputs=2):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(inputs, 16), nn.ReLU(), nn.Linear(16, outputs))

    def forward(self, x):
        return self.layers(x)


class Named(nn.Module):
    """One that names the kinds it reads and takes its sizes from the data."""

    def __init__(self, *, columns: int, outputs: int, width: int = 8):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(columns, width), nn.Tanh(), nn.Linear(width, outputs))

    def forward(self, numbers):
        return self.layers(numbers)


def squared(outputs, target):
    return ((outputs.squeeze(-1) - target) ** 2).mean()


def error(predicted, target):
    return float(np.abs(predicted - target).mean())


error.better = "min"


def learnt(run):
    assert run.status == "done"
    return run.metrics


def records(columns):
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize("frame", [pandas.DataFrame, polars.DataFrame, dict, records])
def test_frames_dicts_and_records_are_the_same_table(columns, frame):
    run = lamina.fit(
        frame(columns), target="z", model="mlp_tiny", budget="150steps", set={"data.drop": "y", "lr": 0.02}
    )
    assert learnt(run)["r2"] > 0.98
    fresh = frame({k: columns[k][:5] for k in ("a", "b")})
    assert np.allclose(run.predict(fresh)["z"], columns["z"][:5], atol=1.5)


def test_two_arrays_are_inputs_and_a_target(columns):
    x = np.stack([columns["a"], columns["b"]], axis=1)
    run = lamina.fit((x, np.array(columns["y"])), target="y", model="mlp_tiny", budget="100steps", set={"lr": 0.02})
    assert learnt(run)["accuracy"] > 0.9


def test_tensors_of_any_shape_go_into_an_own_network():
    x = torch.randn(600, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    y = (x.mean((1, 2, 3)) > 0).long()
    run = lamina.fit((x, y), target="y", model=Plain(48), budget="400steps", set={"lr": 0.01, "weight_decay": 0.1})
    assert run.about["data"]["sizes"] | {"channels": 3, "size": 4} == run.about["data"]["sizes"]
    assert learnt(run)["accuracy"] > 0.8
    assert run.predict((x[:3], y[:3]))["y"] == [int(v) for v in run.predict((x, y))["y"][:3]]


class Points(Dataset):
    def __init__(self, count=200):
        self.x = torch.randn(count, 2, generator=torch.Generator().manual_seed(1))

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], int(self.x[i].sum() > 0)


def test_a_data_set_of_torch_is_read_once():
    run = lamina.fit(Points(), target="y", model="mlp_tiny", budget="100steps", set={"lr": 0.02})
    assert learnt(run)["accuracy"] > 0.9
    assert any("200 items of Points read once" in note for note in run.about["inferred"])


def loaders(noise=0.1):
    class Noisy(Points):
        def __getitem__(self, i):
            x, y = super().__getitem__(i)
            return x + noise * torch.randn(2), y  # drawn anew each time

    valid = DataLoader(Points(60), batch_size=30)
    return DataLoader(Noisy(), batch_size=16, shuffle=True), valid


def test_a_loader_keeps_its_batches_and_learns():
    train, valid = loaders()
    run = lamina.fit(train, valid=valid, model=Plain(), budget="12epochs", set={"lr": 0.02})
    assert run.about["steps"] == 12 * len(train), "the last, smaller batch of each epoch counts too"
    assert learnt(run)["accuracy"] > 0.9 and run.about["split"] == "valid"
    assert len(run.predict(valid)["y"]) == 60


def test_a_loader_taken_up_again_ends_bit_identical():
    train, valid = loaders()
    whole = lamina.fit(train, valid=valid, model=Plain(), budget="40steps", out="whole")
    fitting = Fitting(loaders()[0], valid=loaders()[1], model=Plain(), budget="40steps", out="cut")
    with pytest.raises(Stopped):
        for tick in fitting.ticks():
            if tick.step == 19:  # in the middle of the second epoch
                fitting.trainer.stop("SIGTERM")
    del fitting
    with pytest.raises(RunError, match=r"learnt from an object in memory \(<DataLoader>\); give it again"):
        lamina.fit(resume="cut")
    with pytest.raises(RunError, match="used an object in memory as valid data"):
        lamina.fit(loaders()[0], resume="cut", model=Plain())
    with pytest.raises(RunError, match=r"made with one's own model, <Plain>; give it again"):
        lamina.fit(loaders()[0], resume="cut", valid=loaders()[1])
    again = lamina.fit(loaders()[0], resume="cut", valid=loaders()[1], model=Plain())
    held = [(run.folder / "model.safetensors").read_bytes() for run in (whole, again)]
    assert held[0] == held[1]


def test_a_loader_cuts_its_own_columns():
    with pytest.raises(SettingError, match="A DataLoader has cut its own batches and columns"):
        lamina.fit(loaders()[0], model=Plain(), set={"data.drop": "x"})


def test_a_loader_of_something_else_is_refused():
    bad = DataLoader(TensorDataset(torch.zeros(8, 2), torch.zeros(8), torch.zeros(8)), batch_size=4)
    with pytest.raises(lamina.UserError, match=r"A batch of the DataLoader is \(x, y\), two tensors"):
        lamina.fit(bad, model=Plain())


def test_an_own_loss_and_metric_are_used_and_reported(columns):
    calls = []

    def loss(outputs, target):
        calls.append(outputs.shape)
        return squared(outputs, target)

    run = lamina.fit(
        columns, target="z", model=Plain(outputs=1), loss=loss, metrics=[error], budget="200steps",
        set={"data.drop": "y", "lr": 0.02, "task.select": "error"},
    )  # fmt: skip
    assert calls, "the own loss was never called"
    assert run.about["metric"] == "error" and run.about["better"] == "min"
    answers = run.evaluate(columns)
    assert answers["error"]["value"] == pytest.approx(
        error(np.array(run.predict(columns)["z"]), columns["z"]), rel=1e-4
    )
    assert learnt(run)["error"] < 0.5


def test_a_run_of_one_s_own_needs_it_given_again(columns):
    loss = nn.functional.cross_entropy
    run = lamina.fit(columns, target="y", model=Plain(), loss=loss, set={"data.drop": "z"}, budget="5steps")
    again = lamina.open(run.folder)
    with pytest.raises(RunError, match=r"made with one's own model, <Plain>, which no folder holds"):
        again.predict(columns)
    assert again.predict(columns, model=Plain()) == run.predict(columns)
    with pytest.raises(RunError, match=r"made with one's own loss \(<cross_entropy>\); give it again"):
        lamina.fit(columns, resume=run, model=Plain(), budget="10steps")


@pytest.mark.parametrize(
    ("model", "loss", "said"),
    [
        (
            Plain(outputs=3),
            None,
            r"'y' has 2 classes \('less', 'more'\), and the network gives outputs of shape \(2, 3\)",
        ),
        (Plain(inputs=5), None, r"Plain was tried on two samples \(numbers \(2, 2\)\) and failed in layer 'layers.1'"),
        (Plain(), lambda o, t: o, r"The loss <lambda> returned a tensor of shape \(2, 2\), where a scalar"),
    ],
)
def test_what_does_not_fit_is_said_before_the_first_step(columns, workplace, model, loss, said):
    with pytest.raises((ShapeError, SettingError), match=said):
        lamina.fit(columns, target="y", model=model, loss=loss, set={"data.drop": "z"})
    assert not (workplace / "runs").exists()


def test_a_class_takes_its_sizes_from_the_data(columns):
    run = lamina.fit(
        columns, target="y", model=Named, budget="100steps", set={"data.drop": "z", "width": 12, "lr": 0.02}
    )
    assert run.about["model"]["parameters"] == 2 * 12 + 12 + 12 * 2 + 2
    assert learnt(run)["accuracy"] > 0.9


def test_one_s_own_loop_over_ticks(columns):
    asked = dict(target="y", model="mlp_tiny", budget="20steps", set={"data.drop": "z", "lr": 0.02}, out="run")
    losses = [float(tick.losses["loss"]) for tick in lamina.train(columns, **asked)]
    assert len(losses) == 20 and losses[-1] < losses[0]
    assert not isinstance(lamina.tasks, type(lamina)) and callable(lamina.methods), "verbs, not the folders"
    assert lamina.open("run").status == "done"


def test_own_networks_from_a_module_and_from_the_extension_folder(columns, workplace, monkeypatch):
    source = (
        '"""Line: a linear model of one\'s own."""\nfrom torch import nn\n\n__all__ = ["Line"]\n\n\n'
        "class Line(nn.Module):\n    def __init__(self, *, columns: int, outputs: int):\n        super().__init__()\n"
        "        self.line = nn.Linear(columns, outputs)\n\n"
        "    def forward(self, numbers):\n        return self.line(numbers)\n"
    )
    (workplace / "mine.py").write_text(source)
    (workplace / "lamina_ext" / "models").mkdir(parents=True)
    (workplace / "lamina_ext" / "models" / "line.py").write_text(source)
    asked = dict(target="y", budget="60steps", set={"data.drop": "z", "lr": 0.05})
    for name in ("mine.py:Line", "line"):
        run = lamina.fit(columns, model=name, **asked)
        assert learnt(run)["accuracy"] > 0.9
        with pytest.raises(RunError, match=f"made with model '{name}', which is not part of lamina"):
            lamina.open(run.folder).predict(columns)
        assert lamina.open(run.folder).predict(columns, model=name)["y"][:3]


def test_weights_of_an_own_run_are_gone_on_with(columns):
    asked = dict(target="y", model="mlp_tiny", set={"data.drop": "z", "lr": 0.02})
    first = lamina.fit(columns, budget="100steps", out="first", **asked)
    for weights in (first, "first", "first/model.safetensors"):
        run = lamina.fit(columns, budget="1steps", weights=weights, **{**asked, "set": {"data.drop": "z", "lr": 1e-9}})
        assert run.metrics["accuracy"] == first.metrics["accuracy"]
    with pytest.raises(RunError, match="does not fit MLP"):
        lamina.fit(columns, budget="1steps", weights="first", **{**asked, "model": "mlp"})
