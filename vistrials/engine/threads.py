"""How PyTorch's threads wait for each other on the CPU; to be said before torch is loaded, so no torch here."""

import os

SPIN_COUNT = "2000"
"""Turns of a waiting thread before it sleeps. Chosen by `python -m benchmarks.threads` (benchmarks/README.md)."""

_SAID_BY_USER = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def bound_spinning() -> None:
    """Let threads that wait for others sleep after a while, unless the user has said how they wait.

    By default they spin for so long that beside other work, where the awaited thread has no core, every parallel region
    takes a time slice of the system: a training step was seen to take ten times as long.
    """
    if not any(name in os.environ for name in _SAID_BY_USER):
        os.environ["GOMP_SPINCOUNT"] = SPIN_COUNT
