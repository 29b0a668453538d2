"""How much of each test of trust there is: a share in `make test`, the full numbers in `make trust`."""

import os

FULL = os.environ.get("TRUST") == "full"
SEED = os.environ.get("TRUST_SEED", "")


def count(quick: int, full: int) -> int:
    """`full` under make trust, else `quick`."""
    return full if FULL else quick
