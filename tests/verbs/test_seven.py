"""The seven problems in a few seconds each, through the verbs, on data that packages ship; and each of them stopped
half-way and resumed, which must end bit for bit as if it had never stopped. `make learn` trains them to their bars."""

import csv
import pydoc_data.topics
from pathlib import Path

import networkx
import numpy as np
import pytest
import torch

import lamina
from lamina.core.errors import DataError
from lamina.tasks.language import Language
from lamina.train.trainer import Stopped
from tests import datasets

EXACT = {"plan.threads": 1, "plan.precision": "float32"}


def corpus(folder):
    """The help texts of Python itself, a file a topic."""
    (folder / "help").mkdir(parents=True)
    for name, text in list(pydoc_data.topics.topics.items())[:40]:
        (folder / "help" / f"{name}.txt").write_text(text, encoding="utf-8")
    return str(folder / "help")


def graph(folder):
    """Zachary's karate club as two tables: an unreliable rumour of each member, and the side it took."""
    club = networkx.karate_club_graph()
    noise = np.random.default_rng(0).normal(0, 1.5, len(club))
    rumour = {n: noise[n] + (1 if club.nodes[n]["club"] == "Officer" else -1) for n in club}
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "nodes.csv", "w", newline="") as file:
        rows = [(n, f"{rumour[n]:.3f}", f"member {n} of the club", club.nodes[n]["club"]) for n in club]
        csv.writer(file).writerows([("id", "rumour", "text", "side"), *rows])
    with open(folder / "edges.csv", "w", newline="") as file:
        csv.writer(file).writerows([("from", "to"), *club.edges])
    return str(folder)


def table(name, rows):
    def write(folder):
        folder.mkdir(parents=True, exist_ok=True)
        frame = getattr(datasets, name)().sample(rows, random_state=0)
        frame.to_csv(folder / f"{name}.csv", index=False)
        return str(folder / f"{name}.csv")

    return write


PROBLEMS = {
    "diamonds": (table("diamonds", 3000), dict(target="price", budget="40steps")),
    "crashes": (
        table("nasscds", 3000),
        dict(target="dead", budget="30steps", set={"data.weight": "weight", "data.drop": ["injSeverity", "caseid"]}),
    ),
    "pictures": (
        lambda folder: "digits",
        dict(model="resnet_tiny", budget="30steps", set={"augment": "crop=1,rotate=10,mixup=0.2"}),
    ),
    "language": (corpus, dict(model="gpt_tiny", budget="30steps", set={"batch": 4, "task.glance": 2000})),
    "gan": (
        lambda folder: "digits",
        dict(task="generation", model="dcgan_tiny", budget="24steps", set={"batch": 32, "task.samples": 100}),
    ),
    "graph": (graph, dict(target="side", budget="30steps", set={"data.drop": ["text"]})),
    "cartpole": (
        lambda folder: "gym:CartPole-v1",
        dict(budget="300steps", set={"first": 100, "task.episodes": 5, "explore_updates": 100, "buffer": 1000}),
    ),
}


def fitted(name, folder, **more):
    source, asked = PROBLEMS[name]
    asked = {**asked, "set": {**EXACT, "plan.evaluations": 4, **asked.get("set", {})}, **more}
    return lamina.fit(source(folder / "data"), out=folder / "run", **asked)


@pytest.mark.parametrize("name", PROBLEMS)
def test_stopped_half_way_and_resumed_it_ends_as_if_it_had_not(name, tmp_path):
    if name == "cartpole":
        pytest.importorskip("gymnasium", reason="gymnasium is not installed: pip install 'lamina[rl]'")
    whole = fitted(name, tmp_path / "whole")

    def stop(fitting, tick):
        if tick.step == 2 + tick.steps // 2:
            fitting.trainer.stop("SIGTERM")

    with pytest.raises(Stopped):
        fitted(name, tmp_path / "stopped", watch=stop)
    again = lamina.fit(resume=tmp_path / "stopped" / "run")
    assert again.status == "done"
    for file in ("model.safetensors", "metrics.jsonl"):
        assert (again.folder / file).read_bytes() == (whole.folder / file).read_bytes(), file
    assert again.about["metrics"] == whole.about["metrics"]


@pytest.mark.covers("loss/adversarial-objective", "layer/generator-network", "layer/discriminator-network")
def test_a_generator_comes_nearer_to_the_data_and_draws_a_sheet(tmp_path):
    """Nearer than it was, and than blank pictures."""
    run = lamina.fit(
        "digits", task="generation", model="dcgan_tiny", budget="400steps", out=tmp_path / "run",
        set={**EXACT, "model.width": 16, "task.samples": 300, "plan.evaluations": 4},
    )  # fmt: skip
    distances = [line["valid"]["frechet"] for line in run.history if "valid" in line]
    assert run.metrics["frechet"] < 0.5 * distances[0]
    run.predict(out=tmp_path / "sheet.png", set={"count": 9})
    assert (tmp_path / "sheet.png").read_bytes()[:4] == b"\x89PNG"
    made = [run.predict(seed=seed, set={"count": 2})["image"] for seed in (0, 1, 0)]
    assert made[1][0].shape == (8, 8)
    assert np.array_equal(made[0], made[2]) and not np.array_equal(made[0], made[1])
    parts = [line for line in run.history if "discriminator" in line]
    assert {"discriminator/real", "discriminator/made", "generator"} <= parts[0].keys()  # two updates a step


@pytest.mark.covers("base/variable-length", "language/text-generation", "learn/self-supervised")
def test_a_language_model_beats_the_frequency_of_bytes_and_goes_on_with_a_prompt(tmp_path):
    run = lamina.fit(
        corpus(tmp_path), model="gpt_tiny", budget="150steps", out=tmp_path / "run",
        set={**EXACT, "batch": 8, "task.glance": 2000, "plan.evaluations": 2, "model.width": 64},
    )  # fmt: skip
    unigram = run.about["baseline"]["unigram"]["bits_per_byte"]["value"]
    assert run.metrics["bits_per_byte"] < unigram - 0.5
    first = run.predict(text="The statement", set={"length": 20})["text"][0]
    assert first.startswith("The statement")
    assert len(first) > len("The statement")
    assert run.predict(text="The statement", set={"length": 20})["text"][0] == first
    assert run.predict(text="The statement", seed=1, set={"length": 20})["text"][0] != first


@pytest.mark.covers("net/gnn")
def test_friends_tell_who_took_which_side(tmp_path):
    """Zachary's club split: a rumour of each member errs, but those of its friends do not err alike."""
    scores = {}
    for name in ("with ties", "without"):
        folder = tmp_path / name
        graph(folder)
        if name == "without":
            (folder / "edges.csv").write_text("from,to\n0,0\n")
        hits = []
        for seed in range(3):
            run = lamina.fit(
                str(folder), target="side", model="gcn", budget="200steps", seed=seed, out=tmp_path / f"{name}{seed}",
                set={**EXACT, "data.fractions": [0.3, 0.1, 0.6], "data.drop": ["text"], "plan.evaluations": 5},
            )  # fmt: skip
            hits.append(run.metrics["accuracy"])
        scores[name] = sum(hits) / len(hits)
    assert scores["with ties"] > scores["without"] + 0.1


@pytest.mark.covers("rl/exploration")
def test_a_pole_is_balanced_longer_than_by_chance(tmp_path):
    pytest.importorskip("gymnasium", reason="gymnasium is not installed: pip install 'lamina[rl]'")
    run = lamina.fit(
        "gym:CartPole-v1", budget="3000steps", out=tmp_path / "run",
        set={**EXACT, "first": 500, "explore_updates": 1000, "task.episodes": 20, "plan.evaluations": 6},
    )  # fmt: skip
    chance = run.about["baseline"]["random"]["mean_return"]["value"]
    assert run.metrics["mean_return"] > 3 * chance
    assert run.predict({"observation": [[0.0, 0.0, 0.2, 1.0]]})["action"][0] in (0, 1)
    logged = [line for line in run.history if "loss/frames" in line]
    assert logged[-1]["loss/frames"] > logged[0]["loss/frames"] >= 500  # environment steps, beside what they brought


def test_a_seed_is_a_seed(tmp_path):
    runs = [fitted("pictures", tmp_path / str(i), seed=seed) for i, seed in enumerate((3, 3, 4))]
    weights = [(run.folder / "model.safetensors").read_bytes() for run in runs]
    assert weights[0] == weights[1] != weights[2]
    assert isinstance(runs[0].model(), torch.nn.Module)


def test_bits_per_byte_are_those_of_reading_token_by_token(tmp_path):
    """Each after at least half a context, or after all there is; the end of a document counts too."""
    run = lamina.fit(
        corpus(tmp_path), model="gpt_tiny", budget="5steps", out=tmp_path / "run",
        set={**EXACT, "batch": 4, "task.glance": 2000, "model.context": 8},
    )  # fmt: skip
    model, fields = run.model(), run.fields()
    task = Language({"text": fields["text"]})
    documents = [torch.arange(4, 4 + n) for n in (0, 3, 8, 9, 21)]
    with torch.no_grad():
        found = task.nats(model, documents, step=4)
        for document, nats in zip(documents, found, strict=True):
            tokens, total = [3, *document.tolist(), 3], 0.0
            for i in range(1, len(tokens)):
                if i <= 8:
                    seen = tokens[:i]
                else:  # the window that this token's stretch of 4 is read in
                    until = min(8 + 4 * -(-(i - 8) // 4), len(tokens) - 1)
                    seen = tokens[until - 8 : i]
                total -= float(model(torch.tensor([seen]))[0, -1].log_softmax(-1)[tokens[i]])
            assert float(nats) == pytest.approx(total, rel=1e-5)


def test_a_node_without_an_answer_stays_in_the_graph_and_counts_in_no_figure(tmp_path):
    """It once counted as of the first class."""
    folder = Path(graph(tmp_path / "club"))
    lines = (folder / "nodes.csv").read_text().splitlines()
    nameless = [line.rsplit(",", 1)[0] + "," if i in (5, 9, 20) else line for i, line in enumerate(lines)]
    (folder / "nodes.csv").write_text("\n".join(nameless) + "\n")
    run = lamina.fit(folder, target="side", budget="3steps", out=tmp_path / "run", set={"data.drop": ["text"]})
    assert any("3 nodes without a target stay" in note for note in run.about["inferred"])
    assert run.evaluate(folder)["accuracy"]["count"] == 31
    assert len(run.predict(folder)["side"]) == 34
    one = [line.rsplit(",", 1)[0] + "," if i else line for i, line in enumerate(lines)]
    (folder / "nodes.csv").write_text("\n".join(one) + "\n")
    with pytest.raises(DataError, match="side"):
        lamina.fit(folder, target="side", budget="3steps", out=tmp_path / "none")
