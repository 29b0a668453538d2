"""The seven problems, as unlike as the field has them, through one trainer, on real data, to their published bars.

Run by `make learn`; each writes its figure to results/. Times are wall time on two cores that do nothing else.
"""

import csv
import json
import shutil
import statistics
import time

import numpy as np
import pytest
import torch

import lamina
from lamina.metrics.frechet import frechet
from lamina.verbs.fit import Fitting
from tests import datasets, debian_graph

pytestmark = [pytest.mark.learn, pytest.mark.slow]


def trained(source, **asked):
    """(fitting, seconds): a fit and how long all of it took."""
    start = time.monotonic()
    fitting = Fitting(source, **asked)
    for _ in fitting.ticks():
        pass
    return fitting, time.monotonic() - start


@pytest.mark.covers("science/tabular-classification-regression")
def test_a_table_of_diamonds_is_priced_as_well_as_by_boosted_trees(tmp_path, result):
    """80/20, duplicate rows on one side; gradient boosting reaches 0.980."""
    path = tmp_path / "diamonds.csv"
    datasets.diamonds().to_csv(path, index=False)
    fitting, seconds = trained(
        str(path),
        target="price",
        budget="150s",
        seed=0,
        out=tmp_path / "run",
        set={"data.fractions": [0.72, 0.08, 0.2]},
    )
    r2 = fitting.run.metrics["r2"]
    result("diamonds", figure=f"R² {r2:.4f} in {seconds:.0f} s", must="R² ≥ 0.978 in 180 s", seeds=[0], value=r2)
    assert r2 >= 0.978
    assert seconds <= 190


@pytest.mark.covers("science/tabular-classification-regression")
def test_a_table_of_crashes_is_classed_as_well_as_by_boosted_trees(tmp_path, result):
    """Without injSeverity, which holds the answer; `weight` weighs the samples of both."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score

    frame = datasets.nasscds()
    path = tmp_path / "crashes.csv"
    frame.to_csv(path, index=False)
    drop = [c for c in ("injSeverity", "caseid", "rownames") if c in frame]
    options = {"data.drop": drop, "data.weight": "weight", "data.fractions": [0.7, 0.1, 0.2]}
    fitting, seconds = trained(str(path), target="dead", budget="120s", seed=0, out=tmp_path / "run", set=options)
    ours = fitting.run.metrics["auroc"]
    data = fitting.parts.data
    table = frame.loc[:, data.inputs]
    for name in table.columns:
        if table[name].dtype == object or str(table[name].dtype) in ("str", "string", "category"):
            table = table.assign(**{name: table[name].astype("category")})
    learn = np.concatenate([data.splits["train"].numpy(), data.splits["valid"].numpy()])
    test = data.splits["test"].numpy()
    y = (frame["dead"] == sorted(frame["dead"].unique())[1]).to_numpy()
    w = frame["weight"].to_numpy()
    trees = HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=0)
    trees.fit(table.iloc[learn], y[learn], sample_weight=w[learn])
    theirs = roc_auc_score(y[test], trees.predict_proba(table.iloc[test])[:, 1], sample_weight=w[test])
    figure = f"AUROC {ours:.4f} against {theirs:.4f} of boosted trees, in {seconds:.0f} s"
    result("crashes", figure=figure, must="within 0.005 of boosted trees", seeds=[0], value=ours, peer=theirs)
    assert ours >= theirs - 0.005


@pytest.mark.covers("net/cnn", "vision/image-classification")
def test_pictures_of_clothing_are_told_apart_in_four_minutes(tmp_path, result):
    fitting, seconds = trained("fashion-mnist", budget="200s", seed=0, out=tmp_path / "run")
    accuracy = fitting.run.metrics["accuracy"]
    figure = f"accuracy {accuracy:.4f} in {seconds:.0f} s"
    result("fashion-mnist", figure=figure, must="≥ 0.925 in 240 s", seeds=[0], value=accuracy)
    assert accuracy >= 0.925


@pytest.mark.covers("net/cnn", "net/resnet")
def test_pictures_of_clothing_are_told_apart_better_in_twenty(tmp_path, result):
    better = {"method.augment": "flip,crop=2,cutout=0.25", "method.average": 0.999}  # clothes may be mirrored
    fitting, seconds = trained("fashion-mnist", budget="1080s", seed=0, out=tmp_path / "run", set=better)
    accuracy = fitting.run.metrics["accuracy"]
    figure = f"accuracy {accuracy:.4f} in {seconds:.0f} s"
    result("fashion-mnist-long", figure=figure, must="≥ 0.94 in 1200 s", seeds=[0], value=accuracy)
    assert accuracy >= 0.94


@pytest.mark.covers("net/gpt-series", "language/language-modelling", "language/text-generation", "net/transformer")
def test_a_language_is_learnt_from_conversations(tmp_path, result):
    """`xz -9e` needs 2.43 bits a byte there."""
    path = tmp_path / "chat.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in datasets.chitchat()), encoding="utf-8")
    fitting, seconds = trained(
        str(path), task="language", budget="520s", seed=0, out=tmp_path / "run",
        set={"data.fractions": [0.94, 0.01, 0.05], "data.types": {"text": "text(tokens=bpe)"}},
    )  # fmt: skip
    run = fitting.run
    bits = run.metrics["bits_per_byte"]
    said = run.predict(text="Hi! How are you doing today?\n", set={"length": 60})["text"][0]
    figure = f"{bits:.3f} bits per byte in {seconds:.0f} s"
    result("chitchat", figure=figure, must="≤ 1.65 in 600 s", seeds=[0], value=bits, sample=said)
    assert said.startswith("Hi! How are you doing today?")
    assert bits <= 1.65


@pytest.mark.covers("net/gan", "loss/adversarial-objective", "vision/image-generation", "learn/adversarial-training")
def test_new_clothing_is_made_from_noise(tmp_path, result):
    """Judged by a classifier of our own: every class is there, and its features are nearer the real ones than those of
    Gaussian pixels by half."""
    judge = lamina.fit("fashion-mnist", budget="200s", seed=1, out=tmp_path / "judge").model()
    fitting, seconds = trained("fashion-mnist", task="generation", budget="540s", seed=0, out=tmp_path / "run")
    model, data = fitting.run.model(), fitting.parts.data
    task = fitting.parts.task

    def read(pictures):  # between -1 and 1 -> probabilities and features of the judge
        kept = []
        last = [m for m in judge.modules() if isinstance(m, torch.nn.Linear)][-1]
        handle = last.register_forward_hook(lambda module, given, output: kept.append(given[0].flatten(1)))
        mean, deviation = (torch.tensor(v).view(1, -1, 1, 1) for v in (task.field.mean, task.field.deviation))
        with torch.no_grad():
            scores = [judge(((part + 1) / 2 - mean) / deviation) for part in pictures.split(500)]
        handle.remove()
        return torch.cat(scores).softmax(1), torch.cat(kept)

    real = torch.cat([task.real(b) for b in data.batches({}, split="test", batch=500)])
    half = len(real) // 2
    train = torch.cat(
        [task.real(b) for _, b in zip(range(10), data.batches({}, split="train", batch=500), strict=False)]
    )
    made = model.sample(half, torch.Generator().manual_seed(0))
    flat = train.flatten(1).double()
    mean, cov = flat.mean(0), torch.cov(flat.T)
    values, vectors = torch.linalg.eigh(cov)
    noise = torch.randn(half, len(mean), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    gaussian = (
        ((noise * values.clamp(min=0).sqrt()) @ vectors.T + mean).float().view(half, *train.shape[1:]).clamp(-1, 1)
    )
    features = {name: read(x)[1] for name, x in
                {"made": made, "gaussian": gaussian, "held": real[:half], "other": real[half:]}.items()}  # fmt: skip
    ours, theirs = frechet(features["made"], features["held"]), frechet(features["gaussian"], features["held"])
    floor = frechet(features["other"], features["held"])
    shares, there = (
        torch.bincount(sure.indices[sure.values >= 0.9], minlength=10).double() / len(pictures)
        for pictures in (model.sample(1000, torch.Generator().manual_seed(2)), real)
        for sure in [read(pictures)[0].max(1)]
    )
    figure = (
        f"Fréchet {ours:.1f}, Gaussian pixels {theirs:.1f}, real against real {floor:.1f}; rarest class "
        f"{100 * float(shares.min()):.1f} % (of real pictures {100 * float(there.min()):.1f} %), in {seconds:.0f} s"
    )
    must = "≤ half of Gaussian's; each class ≥ 3 %; 600 s"
    said = dict(shares=[round(s, 4) for s in shares.tolist()], real_shares=[round(s, 4) for s in there.tolist()])
    result("gan", figure=figure, must=must, seeds=[0], value=ours, peer=theirs, **said)
    assert float(shares.min()) >= 0.03  # in float64: 30 of 1,000 are 0.03
    assert ours <= theirs / 2


@pytest.mark.covers("net/gnn", "layer/neighbourhood-aggregation", "science/social-network-analysis")
@pytest.mark.parametrize("text", ["named", "described"])
def test_packages_are_told_apart_better_by_what_they_need(tmp_path, result, text):
    """Split by source package; without edges it is the same network on the same nodes, its edge file all but empty.

    A package's name says much of what its edges say ("libfoo-dev"), and the best linear model of the descriptions
    alone makes 0.81: so far either text reaches one of the two bars.
    """
    folder = debian_graph.write(tmp_path / "packages", datasets.apt_lists(), named=text == "named")
    alone = tmp_path / "alone"
    shutil.copytree(folder, alone)
    with open(alone / "nodes.csv", encoding="utf-8") as file:
        first = next(csv.DictReader(file))["id"]
    (alone / "edges.csv").write_text(f"from,to\n{first},{first}\n", encoding="utf-8")
    options = {"data.group": "source", "data.fractions": [0.8, 0.1, 0.1], "data.types": {"text": "text"}}
    scores, times = {}, {}
    for name, source, model in (("words", alone, "gcn_wide"), ("gcn", folder, "gcn_wide"), ("gat", folder, "gat_wide")):
        fitting, times[name] = trained(
            str(source), target="section", model=model, seed=0, budget="80steps", out=tmp_path / name, set=options
        )
        scores[name] = fitting.run.metrics["accuracy"]
    figure = ", ".join(f"{name} {score:.4f} ({times[name]:.0f} s)" for name, score in scores.items())
    must = "words ≥ 0.82, edges ≥ 0.02 more"
    result(f"packages-{text}", figure=figure, must=must, seeds=[0], **scores)
    assert scores["words"] >= 0.82
    assert max(scores["gcn"], scores["gat"]) >= scores["words"] + 0.02


@pytest.mark.covers("rl/q-learning-with-neural-networks", "learn/reinforcement", "net/deep-rl-network",
                    "rl/environment-interaction", "rl/value-function-approximation")  # fmt: skip
def test_a_pole_is_balanced_by_three_seeds_of_three(tmp_path, result):
    returns, times = [], []
    for seed in range(3):
        fitting, seconds = trained("gym:CartPole-v1", seed=seed, out=tmp_path / str(seed))
        returns.append(fitting.run.metrics["mean_return"])
        times.append(seconds)
    figure = f"mean return {', '.join(f'{r:.1f}' for r in returns)}, median {statistics.median(times):.0f} s"
    result("cartpole", figure=figure, must="≥ 475 by 3 seeds of 3 in 300 s", seeds=[0, 1, 2], value=min(returns))
    assert min(returns) >= 475
    assert max(times) <= 300
