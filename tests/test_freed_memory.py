"""Freed memory is used again while a network runs, and goes back to the system afterwards."""

import resource
import sys

import pytest
import torch

from vistrials.freed_memory import keep_freed_memory

MIB = 2**20
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's setting")


def _page_faults_of_making_and_freeing(size_bytes: int, times: int) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.zeros(size_bytes, dtype=torch.uint8).add_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def _resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def test_a_large_tensor_is_paged_in_once_instead_of_every_time() -> None:
    without = _page_faults_of_making_and_freeing(128 * MIB, times=4)
    with keep_freed_memory():
        within = _page_faults_of_making_and_freeing(128 * MIB, times=4)
    afterwards = _page_faults_of_making_and_freeing(128 * MIB, times=4)
    assert within < 0.5 * without
    assert afterwards > 0.9 * without


def test_what_is_free_goes_back_in_the_end() -> None:
    with keep_freed_memory():
        torch.zeros(256 * MIB, dtype=torch.uint8).add_(1)
        kept = _resident_bytes()
    assert _resident_bytes() < kept - 200 * MIB


def test_nothing_happens_without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    without = _page_faults_of_making_and_freeing(128 * MIB, times=2)
    with keep_freed_memory():
        assert _page_faults_of_making_and_freeing(128 * MIB, times=2) > 0.9 * without
