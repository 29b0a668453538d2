"""What is looked at before step 1 beside the data (`lamina.data.checks`): the first step tried, and its memory."""

from lamina.core.errors import SettingError
from lamina.data.checks import Finding
from lamina.train import memory
from lamina.train.rehearsal import Rehearsal, rehearse
from lamina.verbs.assemble import Assembly

__all__ = ["look"]

SAFE = 0.9  # share of what is left that a step may take by the forecast


def look(parts: Assembly, seed: int) -> list[Finding]:
    """Findings about the first step. Raises: ShapeError where a layer does not fit, SettingError where the machine is
    too small."""
    plan = parts.plan.settled()
    tried = rehearse(parts.method, parts.problem(seed), plan)
    if tried is None:
        return []
    found = [*_memory(tried, plan.device, plan.accumulate), *_idle(tried)]
    for finding in found:
        if finding.level == "error":
            raise SettingError(str(finding))
    return found


def _memory(tried: Rehearsal, device: str, accumulate: int) -> list[Finding]:
    """Whether a step fits into what is left (a warning) and into what there is (an error)."""
    left, whole, need = memory.left(device), memory.whole(device), tried.bytes()
    if left is None or need <= SAFE * left:
        return []
    level = "error" if whole is not None and need > whole else "warning"
    there = left if level == "warning" or whole is None else whole
    batch = f"a batch of {tried.batch}" if tried.batch else "all of the data"
    what = (
        f"a step takes about {_bytes(need)}, {_bytes(tried.fixed)} for weights and optimizer and "
        f"{_bytes(need - tried.fixed)} for {batch}; {device} has {_bytes(there)}{' left' * (level == 'warning')}"
    )
    parts = next((2**k for k in range(1, 16) if 2**k <= tried.batch and tried.bytes(2**k) <= SAFE * left), None)
    remedy = "Take a smaller network (--model, --set model.…), or a machine with more."
    if parts is not None:
        smaller = f"--set method.batch={tried.batch * accumulate // parts}"
        remedy = f"Cut it: --set plan.accumulate={accumulate * parts}, which learns the same, or {smaller}."
    return [Finding(level, what, "Memory", remedy)]


def _idle(tried: Rehearsal) -> list[Finding]:
    if not tried.idle:
        return []
    shown = ", ".join(tried.idle[:3]) + (f" and {len(tried.idle) - 3} more" if len(tried.idle) > 3 else "")
    what = f"the loss does not depend on {shown}, so {'it stays' if len(tried.idle) == 1 else 'they stay'} as made"
    return [Finding("warning", what, "Network", "Use it in forward, or freeze it with requires_grad_(False).")]


def _bytes(count: float) -> str:
    size, unit = next(((s, u) for s, u in ((1e9, "GB"), (1e6, "MB")) if count >= 0.1 * s), (1e3, "kB"))
    return f"{count / size:.1f} {unit}"
