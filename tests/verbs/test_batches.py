"""How many samples go through the network at once changes no metric and no answer."""

import string

import numpy as np
import pytest
import torch

import lamina
from lamina.verbs.fit import Fitting

QUICK = {"plan.threads": 1, "plan.precision": "float32"}
SIZES = (1, 7, 10_000)
ROUNDING = 2e-6  # of float32 products, whose order of summation the batch size decides


class Cut:
    """A data set that cuts its batches as the test says, whatever is asked of it."""

    def __init__(self, data, size):
        self._data, self._size = data, size

    def __getattr__(self, name):
        return getattr(self._data, name)

    def batches(self, sampler, *, split, batch):
        return self._data.batches(sampler, split=split, batch=self._size)


def table(count=160):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=count), rng.normal(size=count)
    words = [" ".join(rng.choice(["sun", "rain", "wind", "snow", "hail"], 4)) + f" {i}" for i in range(count)]
    return {
        "a": a.tolist(), "b": [None if i % 9 == 0 else float(v) for i, v in enumerate(b)],
        "c": [string.ascii_lowercase[i % 5] for i in range(count)], "text": words,
        "w": (1 + rng.random(count)).tolist(),
        "y": np.where(a + 0.3 * rng.normal(size=count) > 0, "more", "less").tolist(), "z": (3 * a - b).tolist(),
    }  # fmt: skip


def pictures(count=80):
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, (count, 8, 8, 3), dtype=np.uint8), np.arange(count) % 3


def accuracy(predicted, target):
    """An own metric."""
    return float(np.mean(np.asarray(predicted) == np.asarray(target)))


def loader(size):
    torch.manual_seed(0)
    x = torch.randn(90, 4)
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, (x[:, 0] > 0).long()), batch_size=size)


PLAIN = {"data.drop": ["text", "w"]}
FAMILIES = {
    "classes, an ensemble": (table, dict(target="y", model="tabm_tiny", set={"data.drop": ["text", "w", "z"]})),
    "classes, weighted": (
        table,
        dict(target="y", model="realmlp_tiny", set={"data.drop": ["text", "z"], "data.weight": "w"}),
    ),
    "numbers, weighted": (
        table,
        dict(target="z", model="mlp_tiny", set={"data.drop": ["text", "y"], "data.weight": "w"}),
    ),
    "several targets": (table, dict(target=["y", "z"], model="mlp_tiny", set=PLAIN)),
    "texts as bags": (table, dict(target="y", model="columns_tiny", set={"data.drop": ["w", "z"]})),
    "an own metric": (
        table,
        dict(target="y", model="mlp_tiny", set={"data.drop": ["text", "w", "z"]}, metrics=[accuracy]),
    ),
    "pictures": (pictures, dict(target="y", model="resnet_tiny")),
    "made pictures": (
        lambda: {"image": list(pictures()[0])},
        dict(task="generation", model="dcgan_tiny", set={"task.samples": 64}),
    ),
}


def close(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        for part in ("value", "low", "high"):
            assert getattr(value, part) == pytest.approx(
                getattr(other[name], part), rel=ROUNDING, abs=1e-6, nan_ok=True
            ), name


@pytest.mark.parametrize("name", FAMILIES)
def test_metrics_do_not_depend_on_how_many_samples_go_at_once(name, tmp_path):
    source, asked = FAMILIES[name]
    asked = {**asked, "set": {**QUICK, **asked.get("set", {})}}
    fitting = Fitting(source(), budget="5steps", out=tmp_path / "run", **asked)
    for _ in fitting.ticks():
        pass
    task, model, data = fitting.parts.task, fitting.parts.model.eval(), fitting.parts.data
    found = []
    for size in SIZES:
        torch.manual_seed(0)
        with torch.no_grad():
            found.append(task.evaluate(model, Cut(data, size), "train"))
    for other in found[1:]:
        close(found[0], other)


def test_a_loader_s_batches_change_no_metric(tmp_path):
    run = lamina.fit(loader(30), model="mlp_tiny", budget="5steps", out=tmp_path / "run", set=QUICK)
    values = [run.evaluate(loader(size)) for size in (90, 7, 1)]
    for other in values[1:]:
        for name, value in values[0].items():
            assert other[name]["value"] == pytest.approx(value["value"], rel=ROUNDING, abs=1e-6), name


def test_bits_per_byte_do_not_depend_on_how_many_texts_go_at_once(tmp_path):
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(["sun", "rain", "wind"], int(rng.integers(3, 60)))) for _ in range(60)]
    (tmp_path / "x.txt").write_text("\n\n".join(lines))
    asked = dict(model="gpt_tiny", budget="5steps", out=tmp_path / "run", set={**QUICK, "method.batch": 4})
    fitting = Fitting(tmp_path / "x.txt", **asked)
    for _ in fitting.ticks():
        pass
    task, model = fitting.parts.task, fitting.parts.model.eval()
    tokens, _ = fitting.parts.data.documents("train")
    with torch.no_grad():
        together = task.nats(model, tokens, step=model.context // 2)
        alone = torch.cat([task.nats(model, [one], step=model.context // 2) for one in tokens])
        paired = torch.cat(
            [task.nats(model, tokens[i : i + 3], step=model.context // 2) for i in range(0, len(tokens), 3)]
        )
    torch.testing.assert_close(alone, together, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(paired, together, rtol=1e-5, atol=1e-5)


def test_answers_do_not_depend_on_how_many_rows_are_asked_for(tmp_path):
    made = table(60)
    run = lamina.fit(
        made, target="y", model="tabm_tiny", budget="5steps", out=tmp_path / "run",
        set={**QUICK, "data.drop": ["text", "w", "z"]},
    )  # fmt: skip
    whole = run.predict(made)
    alone = [run.predict({k: v[i : i + 1] for k, v in made.items()}) for i in range(10)]
    assert [one["y"][0] for one in alone] == whole["y"][:10]
    assert [one["confidence"][0] for one in alone] == pytest.approx(whole["confidence"][:10], abs=1.1e-4)  # 4 digits
