"""One stage under way: its optimizers and schedules, a step, and everything a checkpoint needs of it."""

import contextlib
import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lamina.core.errors import RunError, SettingError, TrainingError
from lamina.core.protocols import Phase, Stage
from lamina.nn import optimizers, schedules
from lamina.train.accumulation import shares_of, summed
from lamina.train.average import follow
from lamina.train.compiled import apart, faster
from lamina.train.draws import Draws
from lamina.train.guard import LARGE, Guard, masks
from lamina.train.meter import Meter, unread
from lamina.train.offence import NotFinite, Offence, spoilt_refusal
from lamina.train.plan import Plan
from lamina.train.restoring import load_module, load_optimizer
from lamina.train.withheld import Withheld

__all__ = ["Running"]


class Running:
    """A stage, its step count, and the machinery around its phases.

    The random state of step s, phase p and micro-batch m depends on (seed, path, begin, s, p, m) alone; begin: the
    updates made before this stage.
    """

    def __init__(self, stage: Stage, path: tuple[str, ...], seed: int, begin: int, plan: Plan):
        self.stage, self.path, self.plan, self.begin = stage, path, plan, begin
        self.step, self.steps = 0, 0
        self.evaluate_every = self.log_every = 1
        self.deadline: float | None = None  # seconds of training at which it ends anyway: the clock's, not the seed's
        self.stale = 0  # evaluations since the best one
        self.meter = Meter()
        self.withheld = Withheld(self)
        self._device = torch.device(plan.device)
        self._draws = Draws(seed, path, begin, plan.generators())
        self._place()
        self.guard = Guard(stage.modules, self._device)
        self._groups = [_parameters(phase) for phase in stage.phases]
        self.optimizers = [optimizers.create(phase.recipe, phase.parameters) for phase in stage.phases]
        self._large = [any(p.numel() >= LARGE for p in group) for group in self._groups]
        self._masked = [masks(o, p) for o, p in zip(self.optimizers, stage.phases, strict=True)]
        self._losses = [faster(p.loss) if plan.compile else p.loss for p in stage.phases]
        self.compiled: dict[str, float] = {}  # how far each phase's loss then is from the one as written
        self._schedules: list[Any] = []
        self.rates = [phase.recipe.lr for phase in stage.phases]
        self.constant = False  # the rates as they are, whatever the schedules say: while a rate is looked for

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
        known = self._memories()
        self.steps = steps
        self._schedules = [
            schedules.create(
                p.recipe.schedule, steps=max(1, -(-steps // p.every)), warmup=p.recipe.warmup, **p.recipe.shape
            )
            for p in self.stage.phases
        ]
        self._remember(known)
        epoch = self.stage.feed.length
        every = max(1, steps // max(1, evaluations))
        if epoch and steps >= 3 * epoch:
            every = max(epoch, every - every % epoch)  # on the border of epochs, where they are short
        self.evaluate_every = every
        self.log_every = max(1, min(every, steps // 100))

    # ------------------------------------------------------------------------------------------------------ a step

    def advance(self) -> dict[str, Tensor]:
        """Make one step: every phase of it on the step's batch. Gives what each phase minimised, and its parts."""
        self._draws.seed(self.step, 0, 0)
        batches = [self.move(batch) for batch in self.stage.feed.next(self.step, self.plan.accumulate)]
        losses: dict[str, Tensor] = {}
        for index, phase in enumerate(self.stage.phases):
            if self.step % phase.every == 0:
                shown: dict[str, Tensor] = {}
                if self._update(index, phase, batches, shown):
                    self.meter.add(shown)
                losses |= shown
        for average in self.stage.averages:
            k, rest = divmod(self.step + 1, average.every)
            if not rest:
                decay = min(average.decay, (1 + k) / (10 + k))
                follow(self.stage.modules[average.of], self.stage.modules[average.into], decay)
        self.step += 1
        return losses

    def pass_over(self) -> dict[str, Tensor]:
        """Let a step's batch go by without an update: training went back behind it, and goes on after it."""
        self._draws.seed(self.step, 0, 0)
        self.stage.feed.next(self.step, self.plan.accumulate)
        here = [phase.name for phase in self.stage.phases if self.step % phase.every == 0]
        self.step += 1
        self.withheld.passed(self.step, here)
        return unread(here, self._device)

    def _update(self, index: int, phase: Phase, batches: list[Any], shown: dict[str, Tensor]) -> bool:
        """One phase of a step; False where its update was withheld."""
        optimizer, group = self.optimizers[index], self._groups[index]
        if self.plan.compile and phase.name not in self.compiled:
            self.compiled[phase.name] = apart(self, index, phase, batches[0])
        optimizer.zero_grad(set_to_none=True)
        self.guard.remember()
        shares = shares_of(phase, batches)
        for part, (batch, share) in enumerate(zip(batches, shares, strict=True)):
            losses, total = self.loss(index, part, batch)
            (total if share is None else total * share).backward(inputs=group)
            for name, value in {phase.name: total, **{f"{phase.name}/{k}": v for k, v in losses.items()}}.items():
                if name == phase.name or len(losses) > 1:
                    value = value.detach() if share is None else value.detach() * share
                    shown[name] = shown[name] + value if part else value
        gradients = [p.grad for p in group if p.grad is not None]
        if not gradients:
            raise TrainingError(self._nothing(phase, losses))
        if self._masked[index]:
            found = self.guard.flag(gradients, shown[phase.name])
            optimizer.found_inf = found  # type: ignore[attr-defined]
            self.guard.restore_where(found)
            self.withheld.later(self.step, phase.name, found)
        norm = nn.utils.get_total_norm(gradients) if phase.recipe.clip else None
        if not self._masked[index] and not self.guard.finite(
            gradients, shown[phase.name], norm, large=self._large[index]
        ):
            self.guard.restore()
            self.withheld.now(index, phase, batches, shown)
            return False
        if norm is not None:
            nn.utils.clip_grads_with_norm_(group, phase.recipe.clip, norm)
        if phase.recipe.l2:
            optimizers.add_l2(optimizer, phase.recipe.l2)
        self._rate(index, phase)
        optimizer.step()
        if phase.recipe.l1:
            optimizers.shrink(optimizer, phase.recipe.l1)
        return True

    def loss(
        self, index: int, part: int, batch: Mapping[str, Tensor], *, step: int | None = None
    ) -> tuple[Mapping[str, Any], Tensor]:
        """The losses of one micro-batch, and the sum of those that are minimised."""
        self.seed(index, part, step)
        with self.plan.autocast():
            losses = self._losses[index](dict(batch))
        minimised = [v for v in losses.values() if v.requires_grad]
        if not minimised and torch.is_grad_enabled():
            raise TrainingError(self._nothing(self.stage.phases[index], losses))
        return losses, summed(minimised or list(losses.values()))

    def seed(self, index: int, part: int, step: int | None = None) -> None:
        """The random state of a phase's micro-batch, in this step unless another is said."""
        self._draws.seed(self.step if step is None else step, index + 1, part)

    def _nothing(self, phase: Phase, losses: Mapping[str, Tensor]) -> str:
        return (
            f"The phase {phase.name!r} of {'/'.join(self.path)} minimises nothing: none of its losses "
            f"({', '.join(losses) or 'it returned none'}) depends on a parameter that it moves."
        )

    def spoilt(self) -> list[str]:
        """Weights, statistics and optimizers' memories that are no longer finite; waits for the device."""
        return self.guard.spoilt(self.optimizers)

    def sure(self) -> None:
        """Raises: NotFinite, where they are not: a gradient may be finite and its square is not."""
        if spoilt := self.spoilt():
            offence = Offence(self.step, self.stage.phases[0].name, f"{spoilt[0]} is not finite any more.", [])
            raise NotFinite(spoilt_refusal(spoilt, f"step {self.step} of {'/'.join(self.path)}"), offence, self)

    def _rate(self, index: int, phase: Phase) -> None:
        factor = 1.0 if self.constant else self._schedules[index](self.step // phase.every)
        optimizers.set_lr(self.optimizers[index], self.rates[index] * factor)

    def move(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A batch on the device, laid out as the plan says."""
        moved = {}
        for name, value in batch.items():
            value = value.to(self._device, non_blocking=True)
            if self.plan.layout == "channels_last" and value.ndim == 4:
                value = value.contiguous(memory_format=torch.channels_last)
            moved[name] = value
        return moved

    # ------------------------------------------------------------------------------------------- around the steps

    def means(self) -> dict[str, float]:
        """Means of the losses since the last call, and the learning rates now; waits for the device."""
        out = self.meter.means()
        for phase, schedule, rate in zip(self.stage.phases, self._schedules, self.rates, strict=True):
            name = "lr" if len(self.optimizers) == 1 else f"{phase.name}/lr"
            out[name] = rate * schedule(max(0, self.step - 1) // phase.every)
        return out

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Within it, weights that an optimizer averages (schedule-free) are the averaged ones."""
        swapping: list[Any] = [o for o in self.optimizers if hasattr(o, "eval")]
        for optimizer in swapping:
            optimizer.eval()
        try:
            yield
        finally:
            for optimizer in swapping:
                optimizer.train()

    def finish(self) -> None:
        """Leave the averaged weights in the modules: this stage's optimizers have done."""
        for optimizer in self.optimizers:
            if hasattr(optimizer, "eval"):
                optimizer.eval()

    def observe(self, better: bool, value: float) -> None:
        """Tell the schedules that listen (plateau) and the patience how an evaluation came out; less is better."""
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
            "judged": self.stage.judged,
            "begin": self.begin,
            "step": self.step,
            "steps": self.steps,
            "grid": [self.evaluate_every, self.log_every],
            "stale": self.stale,
            "rates": self.rates,
            **self.meter.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "withheld": self.withheld.state_dict(),
            "schedules": self._memories(),
            "feed": self.stage.feed.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        """Become what was saved."""
        if len(state["optimizers"]) != len(self.optimizers):
            raise RunError(
                f"{'/'.join(self.path)} has {len(self.optimizers)} phases, and had {len(state['optimizers'])} when it "
                "was saved. Go on with the method as it was, or fit anew."
            )
        for name, module in self.stage.modules.items():
            load_module(name, module, weights)
        self.lasts(state["steps"], 1)
        self.evaluate_every, self.log_every = state["grid"]
        self.step, self.stale = state["step"], state["stale"]
        self.rates = list(state["rates"])
        self.withheld.load_state_dict(state["withheld"])
        self.begin = state["begin"]
        self._draws.begin(self.begin)
        self.meter.load_state_dict(state, self._device)
        for phase, optimizer, saved in zip(self.stage.phases, self.optimizers, state["optimizers"], strict=True):
            load_optimizer(phase.name, optimizer, saved)
        self._remember(state["schedules"])
        self.stage.feed.load_state_dict(state["feed"])

    def _memories(self) -> list[dict[str, Any]]:
        return [s.state_dict() if hasattr(s, "state_dict") else {} for s in self._schedules]

    def _remember(self, memories: list[dict[str, Any]]) -> None:
        for schedule, saved in zip(self._schedules, memories, strict=False):
            if saved:
                schedule.load_state_dict(saved)

    def snapshot(self) -> tuple[Any, Any]:
        """A copy of everything, to go back to after trial steps."""
        return copy.deepcopy(self.state_dict()), {k: v.detach().clone() for k, v in self.weights().items()}


def _parameters(phase: Phase) -> list[nn.Parameter]:
    given = phase.parameters
    found = list(given.parameters()) if isinstance(given, nn.Module) else list(given)
    found = [p for p in found if p.requires_grad]
    if not found:
        raise SettingError(f"The phase {phase.name!r} moves no parameter: all are frozen, or there are none.")
    return found
