"""Tiny trainings that between them use everything a trainer must bring back, and a way to stop and go on with them."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lamina.core.protocols import Average, Batch, Judge, Phase, Problem, Recipe, Stage, Tick, Train
from lamina.core.seeds import generator, mix
from lamina.train import checkpoint
from lamina.train.budget import Budget
from lamina.train.plan import Plan
from lamina.train.trainer import Trainer

PLAN = dict(precision="float32", threads=1, evaluations=4)
X = torch.randn(48, 6, generator=generator("x"))
Y = (X[:, :2].sum(1) + X[:, 2] * X[:, 3])[:, None]


class Rows:
    """Shuffled rows with noise drawn as an augmentation; a function of the step."""

    def __init__(self, batch: int = 8, rows: slice = slice(0, 32), noise: float = 0.1):
        self.x, self.y, self.batch, self.noise = X[rows], Y[rows], batch, noise
        self.length: int | None = len(self.x) // batch

    def next(self, step: int, parts: int = 1) -> list[Batch]:
        order = torch.randperm(len(self.x), generator=generator("order", step))[: self.batch]
        x = self.x[order] + self.noise * torch.randn(self.batch, 6, generator=generator("noise", step))
        chunks = zip(x.chunk(parts), self.y[order].chunk(parts), strict=True)
        return [{"numbers": a, "target.y": b} for a, b in chunks]

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Any) -> None:
        pass


class Walking(Rows):
    """A feed that remembers: each batch is a random step from the last one, which the global generator draws."""

    length = None

    def __init__(self) -> None:
        super().__init__()
        self.length, self.place, self.asked = None, torch.zeros(8, 6), 0

    def next(self, step: int, parts: int = 1) -> list[Batch]:
        self.asked += 1
        self.place = 0.9 * self.place + torch.randn(8, 6)
        return [{"numbers": self.place, "target.y": self.place.sum(1, keepdim=True) + self.asked % 3}]

    def state_dict(self) -> dict[str, Any]:
        return {"place": self.place, "asked": self.asked}

    def load_state_dict(self, state: Any) -> None:
        self.place, self.asked = state["place"].clone(), state["asked"]


class Error(Judge):
    """Squared error over the rows held out; smaller is better."""

    metric = "mse"

    def __call__(self, module: nn.Module) -> dict[str, float]:
        return {"mse": float(F.mse_loss(module(X[32:]), Y[32:])), "drawn": float(torch.rand(()))}

    def better(self, new: float, old: float) -> bool:
        return new < old


def net(*, dropout: float = 0.2, norm: bool = True, out: int = 1) -> nn.Sequential:
    torch.manual_seed(mix("net"))
    middle = [nn.BatchNorm1d(12)] if norm else []
    return nn.Sequential(nn.Linear(6, 12), *middle, nn.ReLU(), nn.Dropout(dropout), nn.Linear(12, out))


def squared(model: nn.Module) -> Callable[[Batch], dict[str, Tensor]]:
    return lambda batch: {"squared": F.mse_loss(model(batch["numbers"]), batch["target.y"])}


class Learning:
    """A method made of one function (problem, train) -> ticks."""

    def __init__(self, learn: Callable[[Problem, Train], Iterator[Tick]]):
        self.learn = learn


def supervised(recipe: Recipe | None = None, *, average: Average | None = None, feed: Callable[[], Any] = Rows) -> Any:
    def learn(problem: Problem, train: Train) -> Iterator[Tick]:
        model = problem.model
        modules = {"model": model, **({"average": copy.deepcopy(model)} if average else {})}
        phase = Phase("loss", squared(model), model, recipe or Recipe(lr=0.02))
        averages, judged = ([average], "average") if average else ([], "model")
        yield from train(Stage("supervised", modules, feed(), [phase], averages, judged=judged))

    return learn


def adversarial(problem: Problem, train: Train) -> Iterator[Tick]:
    """Two networks in two phases, noise drawn in both, the maker moved every second step."""
    critic, maker = problem.model, net(out=6)

    def judging(batch: Batch) -> dict[str, Tensor]:
        fake = maker(torch.randn(8, 6)).detach()
        return {"real": F.softplus(-critic(batch["numbers"])).mean(), "fake": F.softplus(critic(fake)).mean()}

    def making(batch: Batch) -> dict[str, Tensor]:
        return {"fooled": F.softplus(-critic(maker(torch.randn(8, 6)))).mean()}

    recipe = Recipe(lr=0.01, options={"betas": [0.5, 0.9]}, clip=1.0)
    phases = [Phase("critic", judging, critic, recipe), Phase("maker", making, maker, recipe, every=2)]
    yield from train(Stage("game", {"critic": critic, "maker": maker}, Rows(), phases, judged="critic"))


def in_turn(problem: Problem, train: Train) -> Iterator[Tick]:
    """A layer after the other, then all of it; a head is drawn between the stages."""
    model, layers = problem.model, [0, 4]
    while train.state.setdefault("done", 0) < len(layers):
        layer = model[layers[train.state["done"]]]
        name = f"layer{train.state['done']}"
        phase = Phase("loss", squared(model), layer, Recipe(optimizer="momentum", lr=0.01))
        for tick in train(Stage(name, {"model": model}, Rows(), [phase], steps=3, judged=None)):
            train.state["seen"] = train.state.get("seen", 0) + 1  # changed while the stage runs
            train.state["sum"] = train.state.get("sum", torch.zeros(())) + tick.losses["loss"]
            yield tick
        train.state["done"] += 1
    top = nn.Linear(1, 1)  # drawn by the global generator, right after a stage
    phase = Phase("loss", squared(nn.Sequential(model, top)), [*model.parameters(), *top.parameters()], Recipe(lr=0.01))
    yield from train(Stage("all", {"model": model, "top": top}, Rows(), [phase], share=0.5))


def federated(problem: Problem, train: Train) -> Iterator[Tick]:
    """Rounds of clients: each trains a copy in a nested training, and their sum becomes the model."""
    model, state = problem.model, train.state
    if not state:
        state.update(round=0, client=0, sums=None)
    while state["round"] < 3:
        while state["client"] < 2:
            local = copy.deepcopy(model)
            rows = Rows(rows=slice(16 * state["client"], 16 * state["client"] + 16), noise=0.0)
            inner = train.within("client")
            inner.state.setdefault("ticks", 0)
            phase = Phase("loss", squared(local), local, Recipe(optimizer="sgd", lr=0.05))
            for tick in inner(Stage("local", {"local": local}, rows, [phase], steps=3, judged=None)):
                inner.state["ticks"] += 1
                yield tick
            assert inner.state["ticks"] == 3
            own = {k: v.detach().clone() for k, v in local.state_dict().items()}
            state["sums"] = own if state["sums"] is None else {k: state["sums"][k] + v for k, v in own.items()}
            state["client"] += 1
        model.load_state_dict({k: (v / 2).to(model.state_dict()[k].dtype) for k, v in state["sums"].items()})
        state.update(round=state["round"] + 1, client=0, sums=None)


def trainer(
    folder: Path | None, *, resume: bool = False, budget: str = "12steps", plan: Any = None, **more: Any
) -> Trainer:
    """A trainer over a folder; with `resume`, from its latest checkpoint, as another process would."""
    last = checkpoint.latest(folder / "checkpoints") if resume and (folder / "checkpoints").is_dir() else None
    judge = more.pop("judge", Error())
    more = {"saved": checkpoint.load(last) if last else None, **more}
    return Trainer(
        seed=3,
        plan=Plan(**{**PLAN, **(plan or {})}),
        budget=Budget.parse(budget),
        judge=judge,
        folder=folder,
        about={"model": "net", "task": "none"},
        **more,
    )


def problem(model: nn.Module | None = None) -> Problem:
    return Problem(model or net(), None, None, 3, torch.device("cpu"))  # type: ignore[arg-type]


def run(folder: Path | None, learn: Any, *, stop_at: int | None = None, **how: Any) -> tuple[Trainer, nn.Module]:
    """Train, to the end or till a number of updates is made; what then is in memory is lost."""
    model = how.pop("model", net)()
    one = trainer(folder, **how)
    ticks = one.run(Learning(learn), problem(model))
    for _ in ticks:
        if one.step == stop_at:
            ticks.close()
            break
    return one, model


def end(folder: Path) -> dict[str, Any]:
    """All that a finished run leaves, but what the clock says."""
    weights, state = checkpoint.load(checkpoint.latest(folder / "checkpoints"))
    state.pop("clock")
    best = folder / "model.safetensors"
    return {
        "weights": weights,
        "state": state,
        "metrics": (folder / "metrics.jsonl").read_bytes(),
        "best": best.read_bytes() if best.exists() else None,
    }


def same(a: Any, b: Any, place: str = "") -> None:
    """The same to the bit, or an AssertionError with the place."""
    if isinstance(a, Tensor):
        assert a.dtype == b.dtype and torch.equal(a, b), f"{place} differs"
    elif isinstance(a, dict):
        assert sorted(a, key=str) == sorted(b, key=str), f"{place}: {list(a)} against {list(b)}"
        for k in a:
            same(a[k], b[k], f"{place}/{k}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), place
        for i, (v, w) in enumerate(zip(a, b, strict=True)):
            same(v, w, f"{place}/{i}")
    else:
        assert a == b or (a != a and b != b), f"{place}: {a!r} against {b!r}"


def lines(folder: Path, name: str = "metrics") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
