"""The machine that a process runs on."""

import os


def num_cores() -> int:
    """Processor cores that this process may use, which can be fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
