"""Loaded by the children of this folder's tests, never by the product: dies, or dawdles, where the environment says.

DIE_AT=KIND:N      SIGKILL to itself at the N-th call of os.replace or os.fsync, or in the middle of the N-th file of a
                   checkpoint (half)
DAWDLE=KIND:S      S seconds more in each step, or in each os.fsync
"""

import os
import pathlib
import signal
import time


def _dying(name, count, call):
    left = [count]

    def instead(*given, **named):
        left[0] -= 1
        if not left[0]:
            if name == "half":
                path, data = given
                with open(path, "wb") as file:
                    file.write(data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*given, **named)

    return instead


def _dawdling(seconds, call):
    def instead(*given, **named):
        time.sleep(seconds)
        return call(*given, **named)

    return instead


_kind, _, _count = os.environ.get("DIE_AT", "").partition(":")
if _kind == "half":
    pathlib.Path.write_bytes = _dying("half", int(_count), pathlib.Path.write_bytes)
elif _kind:
    setattr(os, _kind, _dying(_kind, int(_count), getattr(os, _kind)))
_kind, _, _count = os.environ.get("DAWDLE", "").partition(":")
if _kind == "step":
    import torch

    torch.Tensor.backward = _dawdling(float(_count), torch.Tensor.backward)
elif _kind:
    os.fsync = _dawdling(float(_count), os.fsync)
