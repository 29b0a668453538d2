"""One stage under way: its optimizers and schedules, a step, and everything a checkpoint needs of it."""

import contextlib
import copy
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.errors import RunError, SettingError, TrainingError
from lamina.core.protocols import Phase, Stage
from lamina.core.seeds import mix
from lamina.nn import optimizers, schedules
from lamina.train.plan import Plan

__all__ = ["Running"]

_MASK = (1 << 63) - 1
_ODD = 0x9E3779B97F4A7C15  # the golden ratio's bits: neighbouring steps get unrelated seeds


class Running:
    """A stage, its step count, and the machinery around its phases.

    The random state of step s, phase p and micro-batch m depends on (seed, path, s, p, m) alone.
    """

    def __init__(self, stage: Stage, path: tuple[str, ...], seed: int, plan: Plan):
        self.stage, self.path, self.plan = stage, path, plan
        self.step, self.steps = 0, 0
        self.evaluate_every = self.log_every = 1
        self.stale = 0  # evaluations since the best one
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}  # steps in `sums`, by name: a phase may rest on some
        self._seed = mix(seed, *path)
        self._device = torch.device(plan.device)
        self._place()
        self._groups = [_parameters(phase) for phase in stage.phases]
        self.optimizers = [optimizers.create(phase.recipe, phase.parameters) for phase in stage.phases]
        self._losses = [torch.compile(p.loss) if plan.compile else p.loss for p in stage.phases]
        self._schedules: list[Any] = []

    def _place(self) -> None:
        moved = {id(p) for phase in self.stage.phases for p in _parameters(phase)}
        for module in self.stage.modules.values():
            module.to(self._device)
            if self.plan.layout == "channels_last":
                module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            module.train(any(id(p) in moved for p in module.parameters()))
        for average in self.stage.averages:
            self.stage.modules[average.into].requires_grad_(False)

    def lasts(self, steps: int, evaluations: int) -> None:
        """Fix the number of steps, and with it the schedules and the grid of evaluations and log lines."""
        self.steps = steps
        self._schedules = [
            schedules.create(p.recipe.schedule, steps=max(1, steps // p.every), warmup=p.recipe.warmup)
            for p in self.stage.phases
        ]
        epoch = self.stage.feed.length
        every = max(1, steps // max(1, evaluations))
        if epoch and steps >= 3 * epoch:
            every = max(epoch, every - every % epoch)  # on the border of epochs, where they are short
        self.evaluate_every = every
        self.log_every = max(1, min(every, steps // 100))

    # ------------------------------------------------------------------------------------------------------ a step

    def advance(self) -> dict[str, Tensor]:
        """Make one step: every phase of it on the step's batch. Gives what each phase minimised, and its parts."""
        self._randomness(0, 0)
        batches = [self._move(batch) for batch in self.stage.feed.next(self.step, self.plan.accumulate)]
        shown: dict[str, Tensor] = {}
        for index, phase in enumerate(self.stage.phases):
            if self.step % phase.every == 0:
                self._update(index, phase, batches, shown)
        for average in self.stage.averages:
            if (self.step + 1) % average.every == 0:
                follow(self.stage.modules[average.of], self.stage.modules[average.into], average.decay)
        for name, value in shown.items():
            kept = self.sums.get(name)
            self.sums[name] = value.float().clone() if kept is None else kept.add_(value)
            self.counts[name] = self.counts.get(name, 0) + 1
        self.step += 1
        return shown

    def _update(self, index: int, phase: Phase, batches: list[Any], shown: dict[str, Tensor]) -> None:
        optimizer, group = self.optimizers[index], self._groups[index]
        optimizer.zero_grad(set_to_none=True)
        shares = _shares(phase, batches)
        for part, (batch, share) in enumerate(zip(batches, shares, strict=True)):
            self._randomness(index + 1, part)
            with self.plan.autocast():
                losses = self._losses[index](batch)
            minimised = [v for v in losses.values() if v.requires_grad]
            if not minimised:
                raise TrainingError(
                    f"The phase {phase.name!r} of {'/'.join(self.path)} minimises nothing: none of its losses "
                    f"({', '.join(losses) or 'it returned none'}) depends on a parameter that learns."
                )
            total = minimised[0] if len(minimised) == 1 else torch.stack([v.float() for v in minimised]).sum()
            (total if share is None else total * share).backward(inputs=group)
            for name, value in {phase.name: total, **{f"{phase.name}/{k}": v for k, v in losses.items()}}.items():
                if name == phase.name or len(losses) > 1:
                    value = value.detach() if share is None else value.detach() * share
                    shown[name] = shown[name] + value if part else value
        if phase.recipe.clip:
            nn.utils.clip_grad_norm_(group, phase.recipe.clip)
        if phase.recipe.l2:
            optimizers.add_l2(optimizer, phase.recipe.l2)
        self._rate(index, phase)
        optimizer.step()
        if phase.recipe.l1:
            optimizers.shrink(optimizer, phase.recipe.l1)

    def _rate(self, index: int, phase: Phase) -> None:
        factor = self._schedules[index](self.step // phase.every)
        optimizers.set_lr(self.optimizers[index], phase.recipe.lr * factor)

    def _move(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        moved = {}
        for name, value in batch.items():
            value = value.to(self._device, non_blocking=True)
            if self.plan.layout == "channels_last" and value.ndim == 4:
                value = value.contiguous(memory_format=torch.channels_last)
            moved[name] = value
        return moved

    def _randomness(self, phase: int, part: int) -> None:
        seed = (self._seed + _ODD * (self.step * 1024 + phase * 64 + part + 1)) & _MASK
        torch.default_generator.manual_seed(seed)
        if self._device.type == "cuda":
            torch.cuda.manual_seed(seed)

    # ------------------------------------------------------------------------------------------- around the steps

    def means(self) -> dict[str, float]:
        """Means of the losses since the last call, and the learning rates now; waits for the device."""
        out = {name: float(value) / self.counts[name] for name, value in self.sums.items()}
        for phase, schedule in zip(self.stage.phases, self._schedules, strict=True):
            name = "lr" if len(self.optimizers) == 1 else f"{phase.name}/lr"
            out[name] = phase.recipe.lr * schedule(max(0, self.step - 1) // phase.every)
        self.sums, self.counts = {}, {}
        return out

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Within it, weights that an optimizer averages (schedule-free) are the averaged ones."""
        swapping: list[Any] = [o for o in self.optimizers if hasattr(o, "eval")]
        for optimizer in swapping:
            optimizer.eval()
        yield
        for optimizer in swapping:
            optimizer.train()

    def observe(self, better: bool, value: float) -> None:
        """Tell the schedules that listen (plateau) and the patience how an evaluation came out."""
        self.stale = 0 if better else self.stale + 1
        for schedule in self._schedules:
            if hasattr(schedule, "observe"):
                schedule.observe(value)

    def weights(self) -> dict[str, Tensor]:
        """Every module's weights and statistics, as MODULE.parameter."""
        return {f"{m}.{k}": v for m, module in self.stage.modules.items() for k, v in module.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """All but the weights."""
        return {
            "path": list(self.path),
            "step": self.step,
            "steps": self.steps,
            "grid": [self.evaluate_every, self.log_every],
            "stale": self.stale,
            "sums": self.sums,
            "counts": self.counts,
            "optimizers": [o.state_dict() for o in self.optimizers],
            "schedules": [s.state_dict() if hasattr(s, "state_dict") else {} for s in self._schedules],
            "feed": self.stage.feed.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        """Become what was saved."""
        if tuple(state["path"]) != self.path:
            raise RunError(
                f"The run stopped in {'/'.join(state['path'])}, but its method now comes to {'/'.join(self.path)} first: "
                "what happens between stages may depend only on train.state and on saved modules."
            )
        for name, module in self.stage.modules.items():
            load_module(name, module, weights)
        self.lasts(state["steps"], 1)
        self.evaluate_every, self.log_every = state["grid"]
        self.step, self.stale, self.counts = state["step"], state["stale"], dict(state["counts"])
        self.sums = {k: v.to(self._device) for k, v in state["sums"].items()}
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        for schedule, saved in zip(self._schedules, state["schedules"], strict=True):
            if saved:
                schedule.load_state_dict(saved)
        self.stage.feed.load_state_dict(state["feed"])

    def snapshot(self) -> tuple[Any, Any]:
        """A copy of everything, to go back to after trial steps."""
        return copy.deepcopy(self.state_dict()), {k: v.detach().clone() for k, v in self.weights().items()}


def load_module(name: str, module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load the entries NAME.* of a checkpoint's weights into a module; missing or surplus ones are named."""
    own = {k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(f"{name}.")}
    try:
        module.load_state_dict(own)
    except RuntimeError as error:
        raise RunError(f"The weights of {name!r} do not fit {type(module).__name__}: {error}") from error


@torch.no_grad()
def follow(source: nn.Module, target: nn.Module, decay: float) -> None:
    """target ← decay · target + (1 - decay) · source; integer and statistics buffers are copied."""
    into, of = [p.detach() for p in target.parameters()], [p.detach() for p in source.parameters()]
    if decay:
        torch._foreach_lerp_(into, of, 1 - decay)
    else:
        torch._foreach_copy_(into, of)
    for kept, new in zip(target.buffers(), source.buffers(), strict=True):
        kept.copy_(new)


def _parameters(phase: Phase) -> list[nn.Parameter]:
    given = phase.parameters
    found = list(given.parameters()) if isinstance(given, nn.Module) else list(given)
    found = [p for p in found if p.requires_grad]
    if not found:
        raise SettingError(f"The phase {phase.name!r} moves no parameter: all are frozen, or there are none.")
    return found


def _shares(phase: Phase, batches: list[Any]) -> list[Any]:
    """Each micro-batch's share of the whole, so that gradients add up to the large batch's; [None] for a single one."""
    if len(batches) == 1:
        return [None]
    counts = [phase.count(b) if phase.count else len(next(iter(b.values()))) for b in batches]
    total = sum(itertools.islice(counts, 1, None), counts[0])
    return [count / total for count in counts]
