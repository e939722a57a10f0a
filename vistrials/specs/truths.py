"""What a split can be scored against: the visible part of its objects, or the whole objects, hidden or not."""

from typing import Literal, get_args

from vistrials.errors import SpecError

Truth = Literal["visible", "amodal"]
TRUTHS: tuple[Truth, ...] = get_args(Truth)


def scored_name(split: str, truth: str) -> str:
    """The name of a split's figures: SPLIT, or SPLIT.amodal against whole objects.

    Raises:
        SpecError: no such truth.
    """
    if truth not in TRUTHS:
        raise SpecError(f"truth: expected {' or '.join(TRUTHS)}, found {truth!r}")
    return split if truth == "visible" else f"{split}.{truth}"


def split_of(name: str) -> str:
    """The split whose figures have this name."""
    return name.removesuffix(".amodal")
