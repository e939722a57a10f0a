"""What the C library does with freed memory while large arrays come and go. No torch here."""

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Names and numbers of glibc's <malloc.h>.
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3
_MMAP_MAX = -4

_LARGEST_INT = 2**31 - 1
_MMAP_MAX_BY_DEFAULT = 65_536
_THRESHOLD_BY_DEFAULT = 32 * 2**20
"""The largest value that glibc's own adjustment of both thresholds reaches, to which large tensors bring it at once."""


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Within it freed memory is used again instead of going back to the system.

    By default glibc returns every block above 32 MiB when it is freed and asks for it anew, and the system clears it
    page by page: for the first stages of a network, or sums on masks, that takes longer than the arithmetic. At the
    end all that is free goes back. Elsewhere than on Linux with glibc nothing happens.
    """
    glibc = _glibc()
    if glibc is None:
        yield
        return
    mallopt, malloc_trim = glibc
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, _LARGEST_INT)
    try:
        yield
    finally:
        mallopt(_MMAP_MAX, _MMAP_MAX_BY_DEFAULT)
        mallopt(_MMAP_THRESHOLD, _THRESHOLD_BY_DEFAULT)
        mallopt(_TRIM_THRESHOLD, 2 * _THRESHOLD_BY_DEFAULT)
        malloc_trim(0)


def _glibc() -> tuple[Callable[[int, int], int], Callable[[int], int]] | None:
    """mallopt and malloc_trim of this process, if it has them."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    try:
        return library.mallopt, library.malloc_trim
    except AttributeError:
        return None
