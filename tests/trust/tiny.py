"""The seven problems, and a loader with workers, so small that a training takes half a second; and what one left."""

import csv
import json
import random
import sys
from pathlib import Path
from typing import Any

from tests.trust.nursery import Child, Nursery

PLAN = ["plan.threads=1", "plan.precision=float32", "plan.evaluations=4"]
LOADER = "tests.trust.tiny:fit_a_loader"


def _table(folder: Path) -> None:
    """A number, a category, a date and gaps, in the targets too; `price` to regress, `side` to classify."""
    draw = random.Random("table")
    with open(folder / "table.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["size", "colour", "day", "price", "side"])
        for _ in range(240):
            size, colour = draw.gauss(0, 1), draw.choice(["red", "green", "blue"])
            price = 3 * size + len(colour) + draw.gauss(0, 0.3)
            day = f"2024-{draw.randrange(1, 13):02d}-{draw.randrange(1, 28):02d}"
            held = "" if draw.random() < 0.05 else f"{size:.4f}"
            side = "left" if price > 4 else "right"
            rows.writerow([held, colour, day, *([f"{price:.3f}", side] if draw.random() < 0.97 else ["", ""])])


def _texts(folder: Path) -> None:
    draw = random.Random("texts")
    words = ["the", "a", "cat", "dog", "sat", "ran", "on", "under", "mat", "tree", "and", "then", "it", "was"]
    (folder / "texts").mkdir()
    for i in range(24):
        text = ". ".join(" ".join(draw.choices(words, k=9)) for _ in range(20))
        (folder / "texts" / f"{i:02d}.txt").write_text(text)


def _graph(folder: Path) -> None:
    draw = random.Random("graph")
    sides = [draw.choice(["east", "west"]) for _ in range(60)]
    (folder / "net").mkdir()
    with open(folder / "net" / "nodes.csv", "w", newline="") as file:
        rumours = [(i, f"{draw.gauss(0, 1.5) + (1 if s == 'east' else -1):.3f}", s) for i, s in enumerate(sides)]
        csv.writer(file).writerows([("id", "rumour", "side"), *rumours])
    pairs = [(a, b) for a in range(60) for b in range(a) if draw.random() < (0.2 if sides[a] == sides[b] else 0.02)]
    with open(folder / "net" / "edges.csv", "w", newline="") as file:
        csv.writer(file).writerows([("from", "to"), *pairs])


# name -> (what writes its data, the words after `lamina fit`, the settings)
PROBLEMS: dict[str, tuple[Any, list[str], list[str]]] = {
    "regression": (_table, ["table.csv", "--target", "price", "--steps", "24"],
                   ["data.drop=[side]", "plan.save_every=5"]),
    "classification": (_table, ["table.csv", "--target", "side", "--model", "mlp_tiny", "--steps", "24"],
                       ["data.drop=[price]", "model.drop=0.2", "plan.accumulate=2", "method.batch=32"]),
    "pictures": (None, ["digits", "--model", "lenet_tiny", "--steps", "16"],
                 ["method.augment=crop=1,rotate=10,cutout,mixup=0.2", "method.batch=32", "plan.save_every=3"]),
    "text": (_texts, ["texts", "--model", "gpt_tiny", "--steps", "14"],
             ["method.batch=4", "task.glance=300", "model.drop=0.1"]),
    "gan": (None, ["digits", "--task", "generation", "--model", "dcgan_tiny", "--steps", "10"],
            ["method.batch=16", "task.samples=40", "plan.save_every=3"]),
    "graph": (_graph, ["net", "--target", "side", "--model", "gcn_tiny", "--steps", "24"], ["model.drop=0.3"]),
    "acting": (None, ["gym:CartPole-v1", "--steps", "60"],
               ["method.first=100", "task.episodes=4", "method.explore_updates=50", "method.buffer=300",
                "method.batch=16", "plan.save_every=7"]),
    "loader": (None, ["--steps", "22"], ["plan.save_every=4"]),
}  # fmt: skip


def prepare(name: str, folder: Path) -> None:
    """Write the data of a problem into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if write := PROBLEMS[name][0]:
        write(folder)


def fit(nursery: Nursery, name: str, folder: Path, *, resume: bool = False, out: str = "run", **how: Any) -> Child:
    """Start a training of a problem below `folder`, or go on with it, as a user would."""
    _, words, pairs = PROBLEMS[name]
    asked = ["--resume", out]
    if not resume:
        asked = [*words, "--out", out, *[word for pair in [*PLAN, *pairs] for word in ("--set", pair)]]
    faults = how.pop("faults", None)
    faults = {"watch": str(folder / out), **faults} if faults else None
    if name == "loader":
        return nursery.start(*asked, cwd=folder, call=LOADER, faults=faults, **how)
    return nursery.start("fit", *asked, cwd=folder, faults=faults, **how)


def goes_on(nursery: Nursery, name: str, folder: Path, *, out: str = "run", **how: Any) -> Child:
    """Resume where there is a run, start where a kill came before there was one."""
    return fit(nursery, name, folder, resume=(folder / out / "run.json").is_file(), out=out, **how)


def fit_a_loader(*argv: str) -> None:
    """`lamina fit` over a DataLoader of two worker processes whose items are augmented at random; 5 steps an epoch."""
    import torch

    from lamina.cli import terminal
    from lamina.cli.main import _failed

    class Jittered(torch.utils.data.Dataset):
        """Rows with noise that is drawn anew whenever one is taken."""

        def __init__(self, rows: slice, noise: float):
            generator = torch.Generator().manual_seed(0)
            self.x, self.noise = torch.randn(80, 6, generator=generator)[rows], noise
            self.y = (self.x[:, 0] > self.x[:, 1]).long()

        def __len__(self) -> int:
            return len(self.x)

        def __getitem__(self, i: int) -> tuple[Any, Any]:
            return self.x[i] + self.noise * torch.randn(6), self.y[i]

    pairs = dict(zip(argv[::2], argv[1::2], strict=True))
    workers, noise = int(pairs.get("--workers", 2)), float(pairs.get("--noise", 0.1))
    loader = torch.utils.data.DataLoader(Jittered(slice(0, 40), noise), batch_size=8, shuffle=True, num_workers=workers)
    valid = torch.utils.data.DataLoader(Jittered(slice(40, 80), 0.0), batch_size=20)
    asked: dict[str, Any] = {"set": [], "model": None, "valid": valid}
    for key, value in zip(argv[::2], argv[1::2], strict=True):
        match key:
            case "--set":
                asked["set"].append(value)
            case "--steps":
                asked["budget"] = f"{value}steps"
            case "--out" | "--resume":
                asked[key[2:]] = value
    if "resume" in asked:
        asked = {"resume": asked["resume"], "valid": valid}
    else:
        asked["model"] = "mlp_tiny"
    try:
        terminal.fitted(loader, asked)  # type: ignore[arg-type]
    except Exception as error:
        sys.exit(_failed(error))


def about(folder: Path) -> dict[str, Any]:
    """What run.json says."""
    return json.loads((folder / "run.json").read_text("utf-8"))


def leftovers(folder: Path) -> list[str]:
    """Temporary files of a killed process."""
    return [str(p.relative_to(folder)) for p in folder.rglob("*.tmp")]


def lost(folder: Path) -> int:
    """Updates in the diary that the newest checkpoint lacks: what a kill cost."""
    diary, pointer = folder / "metrics.jsonl", folder / "checkpoints" / "latest"
    made = 0
    for line in diary.read_bytes().split(b"\n")[:-1] if diary.is_file() else ():
        made = max(made, json.loads(line).get("updates", 0))
    return made - (int(pointer.read_text().split("-")[0]) if pointer.is_file() else 0)
