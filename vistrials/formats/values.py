"""Values out of JSON files: what they are, and how messages show them."""

from numbers import Real
from typing import Any, TypeGuard

from vistrials.errors import shortened

LARGEST_NUMBER = 1e12  # of a box or an area; also keeps integers of hundreds of digits from float arithmetic

_NAMES = {dict: "an object", list: "a list", str: "a string", type(None): "null"}


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether a value is an int (True and False are not)."""
    return isinstance(value, int) and not isinstance(value, bool)


def as_whole(value: Any) -> Any:
    """A float that is meant as a whole number, such as 12.0, as int; any other value as it is."""
    # Beyond 2 ** 53 floats leave out whole numbers.
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53 else value


def hint_of_text(value: Any) -> str:
    """The end of a message about a value that should be a number: the cure, if the number stands in quotes."""
    if not isinstance(value, str):
        return ""
    try:
        float(value)
    except ValueError:
        return ""
    return "; write the number without quotes"


def is_finite_number(value: Any) -> TypeGuard[float]:
    """Whether a value is a number that is neither NaN nor infinite nor beyond any size or position."""
    # Real also takes NumPy's numbers, but asking is slow.
    is_number = isinstance(value, (int, float, Real))
    return is_number and not isinstance(value, bool) and bool(abs(value) <= LARGEST_NUMBER)


def is_bbox(value: Any) -> TypeGuard[list[float]]:
    """Whether a value is a list of four finite numbers."""
    return isinstance(value, list) and len(value) == 4 and all(map(is_finite_number, value))


def kind_of(value: Any) -> str:
    """What a value is: null, an object, a list, a string, or the value itself."""
    return _NAMES.get(type(value), shortened(value))
