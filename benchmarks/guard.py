"""Looking at every gradient before it enters the weights costs less than a hundredth of a step.

Ours: a step of the trainer. Theirs: the same step of the same trainer without the look. Both end with the same weights
to the bit, which is checked first; then steps of one network are timed in turn, in CPU time of one thread. Printed are
the difference of the medians, its 95 % interval (bootstrap), and its share of a step.

    python benchmarks/guard.py [--seconds 20] [--out FILE]
"""

import argparse
import json
import platform
import random
import statistics
import time
from pathlib import Path
from typing import Any

import torch

import lamina.models as models
from lamina.core.protocols import Phase, Recipe, Stage
from lamina.core.seeds import generator, mix
from lamina.nn import losses
from lamina.train.plan import Plan, keep_freed_memory
from lamina.train.running import Running

CASES = {
    "mlp on 8x8 pictures, batch 128": ("mlp", dict(channels=1, size=8, outputs=10), (1, 8, 8), 128, Recipe(lr=1e-3)),
    "mlp on 28x28 pictures, batch 128": (
        "mlp",
        dict(channels=1, size=28, outputs=10),
        (1, 28, 28),
        128,
        Recipe(lr=1e-3),
    ),
    "mlp on 28x28 pictures, clipped": (
        "mlp",
        dict(channels=1, size=28, outputs=10),
        (1, 28, 28),
        128,
        Recipe(lr=1e-3, clip=1.0),
    ),
    "mlp_wide (batch norm), batch 128": (
        "mlp_wide",
        dict(channels=1, size=28, outputs=10),
        (1, 28, 28),
        128,
        Recipe(lr=1e-3),
    ),
    "resnet_tiny on 8x8 pictures, muon": (
        "resnet_tiny",
        dict(channels=1, classes=10),
        (1, 8, 8),
        64,
        Recipe("muon", lr=1e-3),
    ),
}


class Feed:
    """One batch of noise, again and again."""

    length = None

    def __init__(self, shape: tuple[int, ...], batch: int):
        self.batch = {
            "image": torch.randn(batch, *shape, generator=generator("x")),
            "target.y": torch.randint(10, (batch,), generator=generator("y")),
        }

    def next(self, step: int, parts: int = 1) -> list[dict[str, torch.Tensor]]:
        return [self.batch]

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state: dict) -> None:
        pass


def under_way(case: str) -> Running:
    """A stage of that case."""
    name, settings, shape, batch, recipe = CASES[case]
    torch.manual_seed(mix("model"))
    model, loss = models.create(name, **settings), losses.create("cross_entropy")
    phase = Phase("loss", lambda b: {"loss": loss(model(image=b["image"]), b["target.y"])}, model, recipe)
    plan = Plan(device="cpu", precision="float32", layout="contiguous", threads=1)
    running = Running(Stage("s", {"model": model}, Feed(shape, batch), [phase]), ("s",), 0, 0, plan)
    running.lasts(1_000_000, 1)
    return running


def blind(running: Running) -> None:
    """Take the look away."""
    running.guard.finite = lambda *_, **__: True  # type: ignore[method-assign]
    running.guard.remember = lambda: None  # type: ignore[method-assign]


def seeing(running: Running) -> None:
    """And give it back."""
    del running.guard.finite, running.guard.remember


def same(case: str) -> None:
    """Both ways give the same weights, to the bit."""
    ends = []
    for looks in (True, False):
        running = under_way(case)
        if not looks:
            blind(running)
        for _ in range(10):
            running.advance()
        ends.append(running.weights())
    assert all(torch.equal(ends[0][k], ends[1][k]) for k in ends[0]), f"{case}: the look changed a number"


def measure(case: str, seconds: float) -> dict[str, float]:
    """Microseconds of a step with the look, of the look, and its share in percent.

    Steps of the same network in turn, with it and without, so that both meet the same memory and the same neighbours.
    """
    same(case)
    running = under_way(case)
    for _ in range(20):
        running.advance()
    times: dict[bool, list[int]] = {True: [], False: []}
    clock, until = time.process_time_ns, time.monotonic() + seconds
    while time.monotonic() < until:
        for looks in (True, False, False, True):
            if not looks:
                blind(running)
            begin = clock()
            running.advance()
            times[looks].append(clock() - begin)
            if not looks:
                seeing(running)
    ours, theirs = ([t / 1e3 for t in times[looks]] for looks in (True, False))
    rng = random.Random(0)
    parts = list(zip(ours, theirs, strict=True))
    draws = []
    for _ in range(200):
        drawn = rng.choices(parts, k=len(parts))
        draws.append(statistics.median(a for a, _ in drawn) - statistics.median(b for _, b in drawn))
    step, look = statistics.median(ours), statistics.median(ours) - statistics.median(theirs)
    tenths = statistics.quantiles(draws, n=40)
    return {
        "step_us": round(step, 1), "look_us": round(look, 2), "interval_us": [round(tenths[i], 2) for i in (0, -1)],
        "percent": round(100 * look / step, 2), "steps": len(ours),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=20, help="of each case")
    parser.add_argument("--out")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    found: dict[str, Any] = {"machine": platform.machine(), "torch": torch.__version__, "cases": {}}
    print(f"{found['machine']}, torch {found['torch']}, one thread")
    for case in CASES:
        one = found["cases"][case] = measure(case, asked.seconds)
        low, high = one["interval_us"]
        print(f"{case:36} step {one['step_us']:8.1f} us, look {one['look_us']:6.2f} us ({low:.2f} to {high:.2f}), "
              f"{one['percent']:5.2f} % of {one['steps']:,} steps")  # fmt: skip
    if asked.out:
        Path(asked.out).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
