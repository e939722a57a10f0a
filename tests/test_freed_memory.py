"""Freed memory is used again while a network runs, and goes back to the system afterwards."""

import subprocess
import sys

import pytest

from vistrials.freed_memory import keep_freed_memory

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's setting")

# In a process of its own, whose memory no other test has used, and without the huge pages of large arrays.
MEASURE = """
import ctypes, resource
from vistrials.freed_memory import keep_freed_memory

MIB = 2**20
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.memset.argtypes, libc.free.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t], [ctypes.c_void_p]

def faults(mib, times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        block = libc.malloc(mib * MIB)
        libc.memset(block, 1, mib * MIB)
        libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident_mib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // MIB

without = faults(64, 4)
with keep_freed_memory():
    within = faults(64, 4)
    kept = resident_mib()
print(without, within, faults(64, 4), kept, resident_mib())
"""


def test_a_large_block_is_paged_in_once_and_goes_back_in_the_end() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    without, within, afterwards, kept_mib, left_mib = map(int, done.stdout.split())
    assert within < 0.5 * without
    assert afterwards > 0.9 * without
    assert left_mib < kept_mib - 50


def test_nothing_happens_without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda name: pytest.fail("asked for the C library"))
    monkeypatch.setattr(sys, "platform", "darwin")
    with keep_freed_memory():
        pass
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())  # musl has no mallopt
    with keep_freed_memory():
        pass
