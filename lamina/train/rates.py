"""A learning rate by a range test: the rate grows from tiny to huge over trial steps, and the loss says where to stop.

Paper: Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), arXiv:1506.01186, section 3.3. Taken is a
tenth of the rate at which the smoothed loss is least: past it the loss rises, well below it learning is slow.
"""

import math

from lamina.core.errors import TrainingError
from lamina.train.running import Running

__all__ = ["find"]


def find(running: Running, *, low: float = 1e-6, high: float = 1.0, steps: int = 100) -> list[float]:
    """The rate of each phase: the recipe's own, or the found one where that is 0. Leaves no trace in the stage.

    Raises: TrainingError where no rate makes the loss fall.
    """
    state, weights = running.snapshot()
    random = [(g, g.get_state()) for g in running.plan.generators()]
    schedules, running.constant = running.constant, True
    wanted = [phase.recipe.lr == 0 for phase in running.stage.phases]
    curve: list[tuple[float, float]] = []
    smooth, best = 0.0, math.inf
    try:
        for i in range(steps):
            rate = low * (high / low) ** (i / (steps - 1))
            running.rates = [rate if w else own for w, own in zip(wanted, running.rates, strict=True)]
            losses = running.advance()
            loss = sum(float(v) for name, v in losses.items() if "/" not in name)
            smooth = 0.8 * smooth + 0.2 * loss
            now = smooth / (1 - 0.8 ** (i + 1))
            best = min(best, now)
            early = [value for _, value in curve[:10]] or [now]  # the rate is still too small to matter: mere noise
            if not math.isfinite(now) or (i > 10 and now - max(early) > max(early) - best + 1e-3 * abs(best)):
                break
            curve.append((rate, now))
    except TrainingError:  # the guard: past this rate the loss is not finite
        pass
    finally:
        running.load_state_dict(state, weights)
        running.constant = schedules
        for generator, before in random:
            generator.set_state(before)
    if len(curve) < 10 or best > min(loss for _, loss in curve[:10]) - 1e-9:
        raise TrainingError(
            f"No learning rate between {low:g} and {high:g} made the loss fall within {steps} trial steps. "
            "Give one: --set method.lr=…"
        )
    found = min(curve, key=lambda point: point[1])[0] / 10
    return [found if w else own for w, own in zip(wanted, running.rates, strict=True)]
