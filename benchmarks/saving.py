"""Saving once a minute costs less than a hundredth of the time: a snapshot is taken, and written beside the training.

Ours: steps of the trainer with a checkpoint at the start of each block. Theirs: the same steps without. A checkpoint
holds weights and both of AdamW's memories, as fsynced safetensors with SHA-256. Blocks of both kinds are timed in turn;
each lasts longer than the writing does, so that the steps which the writing slows down are in it. Printed are the part
that stalls the training (snapshot), what a checkpoint costs in all, in wall time and in CPU time of all threads (which
neighbours on a busy machine do not add to), and both as shares of a minute. A checkpoint is read back and compared
first.

    python benchmarks/saving.py [--rounds 8] [--out FILE] [--folder FOLDER]
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lamina.core.protocols import Phase, Recipe, Stage
from lamina.core.seeds import generator, mix
from lamina.train import checkpoint
from lamina.train.keeper import Keeper
from lamina.train.plan import Plan, keep_freed_memory
from lamina.train.running import Running

WIDTHS = {"1 million parameters": 576, "10 million parameters": 1826}


class Feed:
    """One batch of noise, again and again."""

    length = None

    def __init__(self, width: int):
        self.batch = {"numbers": torch.randn(64, width, generator=generator("x"))}

    def next(self, step: int, parts: int = 1) -> list[dict[str, torch.Tensor]]:
        return [self.batch]

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state: dict) -> None:
        pass


def under_way(width: int) -> Running:
    """Three square layers."""
    torch.manual_seed(mix("model"))
    model = nn.Sequential(*(nn.Linear(width, width) for _ in range(3)))
    phase = Phase("loss", lambda b: {"loss": model(b["numbers"]).square().mean()}, model, Recipe(lr=1e-4))
    plan = Plan(device="cpu", precision="float32", layout="contiguous", threads=torch.get_num_threads())
    running = Running(Stage("s", {"model": model}, Feed(width), [phase]), ("s",), 0, 0, plan)
    running.lasts(1_000_000, 1)
    return running


def save(keeper: Keeper, running: Running) -> float:
    """Seconds that the training stands still for a checkpoint."""
    begin = time.perf_counter()
    state = {"clock": {}, "trainer": {"best": None, "plan": vars(running.plan)}, "stage": running.state_dict()}
    keeper.save(running.step, running.weights(), state, {})
    return time.perf_counter() - begin


def seconds(work: Any) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def measure(width: int, rounds: int, folder: Path) -> dict[str, Any]:
    """What a checkpoint costs."""
    running = under_way(width)
    keeper = Keeper(folder, {}, 0)
    keeper.open(0, None)
    running.advance()
    save(keeper, running)
    whole = seconds(keeper.wait)  # the writing alone
    held, _ = checkpoint.load(checkpoint.latest(folder / "checkpoints"))
    assert all(torch.equal(v, held[k]) for k, v in running.weights().items()), "what was read back differs"
    size = sum(p.stat().st_size for p in (folder / "checkpoints").glob("*/*"))
    step = statistics.median(seconds(running.advance) for _ in range(10))
    steps = max(10, int(3 * whole / step))
    wall, cpu, stalls = [], [], []
    for _ in range(rounds):
        pair = []
        for saves in (True, False):
            begin = time.perf_counter(), time.process_time()
            if saves:
                stalls.append(save(keeper, running))
            for _ in range(steps):
                running.advance()
            keeper.wait()
            pair.append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
        wall.append(pair[0][0] - pair[1][0])
        cpu.append(pair[0][1] - pair[1][1])
    found = {"bytes": size, "step_s": step, "stall_s": statistics.median(stalls), "written_in_s": whole}
    for name, costs in (("wall", wall), ("cpu", cpu)):
        cost = statistics.median(costs)
        found |= {f"{name}_s": cost, f"{name}_least_s": min(costs), f"{name}_most_s": max(costs)}
        found[f"{name}_percent_of_a_minute"] = 100 * cost / 60
    return {k: round(v, 4) for k, v in found.items()} | {"rounds": rounds, "steps_a_block": steps}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--out")
    parser.add_argument("--folder", help="where to write; a temporary folder otherwise")
    asked = parser.parse_args()
    keep_freed_memory()
    found: dict[str, Any] = {"machine": platform.machine(), "torch": torch.__version__, "cases": {}}
    print(f"{found['machine']}, torch {found['torch']}, {torch.get_num_threads()} thread(s)")
    for case, width in WIDTHS.items():
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            one = found["cases"][case] = measure(width, asked.rounds, Path(folder))
        print(
            f"{case}: {one['bytes'] / 1e6:.0f} MB, stalls {1e3 * one['stall_s']:.0f} ms; at one save a minute it costs"
        )
        for name in ("wall", "cpu"):
            low, cost, high = (1e3 * one[f"{name}{part}_s"] for part in ("_least", "", "_most"))
            share = one[f"{name}_percent_of_a_minute"]
            print(f"    {share:.2f} % of {name} time: {cost:.0f} ms ({low:.0f} to {high:.0f}) a save")
    if asked.out:
        Path(asked.out).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
