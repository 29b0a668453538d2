"""tests/golden/SCHEMA: a tiny run of every family of networks, with data and answers, for later versions to open.

python tools/golden.py          makes those that are lacking; one that is there is never made again
"""

import csv
import json
import os
import random
import shutil
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"
EXACT = {"plan.threads": 1, "plan.precision": "float32", "plan.evaluations": 2, "plan.device": "cpu"}
SEED = 7
FEW_MAPS = {"model.maps": [3, 4, 5], "model.units": 6}
NARROW = {"model.width": 8, "data.vocab": 270}
GO_ON: dict[str, Any] = dict(text="the cat", set={"length": 8})
DRAW: dict[str, Any] = dict(seed=3, set={"count": 2})

# network -> (source, what fit is asked beside it, what predict is asked)
RUNS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "mlp": ("table.csv", dict(target="side", model="mlp_tiny"), dict(source="new.csv")),
    "realmlp": ("table.csv", dict(target="price", model="realmlp_tiny"), dict(source="new.csv")),
    "tabm": ("table.csv", dict(target="price", model="tabm_tiny"), dict(source="new.csv")),
    "columns": ("table.csv", dict(target="side", model="columns_tiny"), dict(source="new.csv")),
    "lenet": ("pictures", dict(model="lenet_tiny", set=FEW_MAPS), dict(source="new")),
    "resnet": ("pictures", dict(model="resnet_tiny", set={"model.width": 4}), dict(source="new")),
    "gpt": ("texts", dict(model="gpt_tiny", set=NARROW), GO_ON),
    "gpt2": ("texts", dict(model="gpt2_tiny", set=NARROW), GO_ON),
    "dcgan": ("pictures", dict(task="generation", model="dcgan_tiny", set={"task.samples": 8}), DRAW),
    "gcn": ("net", dict(target="side", model="gcn_tiny"), dict(source="net")),
    "gat": ("net", dict(target="side", model="gat_tiny"), dict(source="net")),
    "dqn": (
        "gym:CartPole-v1",
        dict(model="mlp_tiny", set={"first": 20, "buffer": 40, "batch": 8, "task.episodes": 2, "environments": 2}),
        dict(source={"observation": [[0.0, 0.1, 0.02, -0.3], [0.1, -0.5, 0.1, 0.9]]}),
    ),
}  # fmt: skip


def data(folder: Path) -> None:
    """A table, pictures, texts and a graph, of a few kilobytes in all."""
    from PIL import Image

    draw = random.Random("golden")
    for name, rows in (("table.csv", 60), ("new.csv", 6)):
        with open(folder / name, "w", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(["size", "colour", "day", "price", "side"])
            for _ in range(rows):
                size, colour = draw.gauss(0, 1), draw.choice(["red", "green", "blue"])
                price = 3 * size + len(colour)
                day = f"2024-{draw.randrange(1, 13):02d}-{draw.randrange(1, 28):02d}"
                side = "left" if price > 4 else "right"
                lines.writerow([f"{size:.3f}" if draw.random() > 0.1 else "", colour, day, f"{price:.2f}", side])
    for name, count in (("pictures", 10), ("new", 2)):
        for kind in ("dark", "light"):
            (folder / name / kind).mkdir(parents=True)
            for i in range(count):
                pixels = bytes(draw.randrange(128) + 127 * (kind == "light") for _ in range(64))
                Image.frombytes("L", (8, 8), pixels).save(folder / name / kind / f"{i}.png")
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "then", "ran", "home"]
    (folder / "texts").mkdir()
    for i in range(8):
        (folder / "texts" / f"{i}.txt").write_text(". ".join(" ".join(draw.choices(words, k=8)) for _ in range(6)))
    sides = [draw.choice(["east", "west"]) for _ in range(24)]
    (folder / "net").mkdir()
    with open(folder / "net" / "nodes.csv", "w", newline="") as file:
        rumours = [(i, f"{draw.gauss(0, 1) + (s == 'east'):.3f}", s) for i, s in enumerate(sides)]
        csv.writer(file, lineterminator="\n").writerows([("id", "rumour", "side"), *rumours])
    pairs = [(a, b) for a in range(24) for b in range(a) if draw.random() < (0.3 if sides[a] == sides[b] else 0.05)]
    with open(folder / "net" / "edges.csv", "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("from", "to"), *pairs])


def plain(value: Any) -> Any:
    """Answers as JSON holds them."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return plain(value.tolist()) if hasattr(value, "tolist") else value


def answers(run: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """What a run answers, and the figures of its test split as they were and as they are measured again."""
    found = {"predicted": plain(run.predict(**asked)), "metrics": run.metrics}
    if not str(run.about["source"]).startswith("gym:"):
        found["measured"] = {k: v["value"] for k, v in run.evaluate(run.about["source"]).items()}
    return found


def make(folder: Path, name: str) -> None:
    """One golden run, in the working folder that holds its data."""
    import lamina

    source, asked, question = RUNS[name]
    settings = {**EXACT, **asked.get("set", {})}
    run = lamina.fit(source, **{**asked, "set": settings}, budget="8steps", seed=SEED, out=folder / "run")
    for needless in ("lock", "timing.jsonl"):
        (folder / "run" / needless).unlink(missing_ok=True)
    (folder / "answers.json").write_text(json.dumps(answers(run, question), indent=1, sort_keys=True) + "\n")


def main() -> None:
    """See the head of this file."""
    from lamina.verbs.run import SCHEMA

    place = GOLDEN / str(SCHEMA)
    if not place.is_dir():
        place.mkdir(parents=True)
        data(place)
    os.chdir(place)
    for name in RUNS:
        if not Path(name).exists():
            try:
                make(Path(name), name)
            except BaseException:
                shutil.rmtree(name, ignore_errors=True)
                raise
            size = sum(file.stat().st_size for file in Path(name).rglob("*") if file.is_file())
            print(f"{name}: {size:,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
