"""A batch may be one part of a larger one; losses and random choices are then those of the whole.

A model that is called on a part, inside of `part_of`, asks about the other parts in the same order as they do: each of
its forward passes draws from the same stream and divides by the same counts as one pass over the whole batch would.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

Counts = tuple[int, ...]


class Parts(Protocol):
    """All parts of a batch, of equally many images each; one of them is ours."""

    num: int
    own: int
    generator: torch.Generator | None

    def gather(self, of_images: Sequence[Counts]) -> list[Counts]:
        """From the counts of our images those of all images of the whole batch, in order."""

    def sum(self, count: float) -> float:
        """The sum of one number of each part."""


class _Whole:
    """The only part; random numbers come from the global generator."""

    num, own = 1, 0
    generator: torch.Generator | None = None

    def gather(self, of_images: Sequence[Counts]) -> list[Counts]:
        return list(of_images)

    def sum(self, count: float) -> float:
        return count


_parts: Parts = _Whole()


@contextmanager
def part_of(parts: Parts) -> Iterator[None]:
    """While entered, models are called on one part of a batch."""
    global _parts
    before, _parts = _parts, parts
    try:
        yield
    finally:
        _parts = before


def gather(of_images: Sequence[Counts]) -> tuple[list[Counts], slice]:
    """Counts of all images of the whole batch, and where ours are among them; every part must ask."""
    return _parts.gather(of_images), slice(first := position(len(of_images)), first + len(of_images))


def position(num_images: int) -> int:
    """Where the first of our images is in the whole batch."""
    return _parts.own * num_images


def choose(num: int, limit: int) -> Tensor | None:
    """At most `limit` of 0 .. num - 1 at random, ascending (int64, on the host); None for all of them."""
    if num <= limit:
        return None
    # The CPU generator draws, so that a seed gives the same sample on every device.
    return torch.randperm(num, generator=_parts.generator)[:limit].sort().values


def weighted(mean: Tensor, count: int) -> Tensor:
    """A mean over `count` things of our part, so that the mean over parts is that over all things of the whole batch.

    Every part must ask, also one with nothing to take a mean of, whose `mean` is 0.
    """
    if _parts.num == 1:
        return mean
    total = _parts.sum(count)
    return mean * (_parts.num * count / total) if total else mean
