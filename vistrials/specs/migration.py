"""Resolved specs on disk carry the version of their form; earlier forms are brought to the present one when read."""

from collections.abc import Callable
from typing import Any

from vistrials.errors import SpecError

SCHEMA = 2
"""Version that `dump_spec` writes. A change that makes recorded specs unreadable adds 1, and a step below."""


def migrate(document: dict[str, Any], source: str) -> dict[str, Any]:
    """A resolved spec in the present form.

    Args:
        document: as it was read; without `schema` it is of version 1.
        source: file name, for the error.

    Returns:
        The spec without `schema`; the document itself is left alone.

    Raises:
        SpecError: the version is none that this program knows.
    """
    document = dict(document)
    schema = document.pop("schema", 1)
    if type(schema) is not int or schema not in range(1, SCHEMA + 1):
        raise SpecError(
            f"{source}: schema: expected a version from 1 to {SCHEMA}, found {schema!r}; "
            "read it with the vistrials that wrote it"
        )
    for step in _STEPS[schema - 1 :]:
        document = step(document)
    return document


def _switches_move_to_their_parts(document: dict[str, Any]) -> dict[str, Any]:
    """1 -> 2: the section released_behaviour is gone; a switch of a part that a network lacks had no effect."""
    switches = document.pop("released_behaviour", None)
    if switches is not None and not isinstance(switches, dict):
        return {**document, "released_behaviour": switches}  # refused as a key that nobody knows
    places = {
        "skip_single_positive_match": ("model", "track_head"),
        "network_px_propagation": ("model", "propagation"),
        "category_id_is_label": ("inference",),
    }
    for switch, value in (switches or {}).items():
        document = _with_value(document, (*places.get(switch, ("released_behaviour",)), switch), value)
    return document


def _with_value(values: Any, path: tuple[str, ...], value: Any) -> Any:
    """A copy with a value at a path; unchanged where the path leads into a part that is null or no mapping."""
    if not path:
        return value
    if not isinstance(values, dict):
        return values
    return {**values, path[0]: _with_value(values.get(path[0], {}), path[1:], value)}


_STEPS: tuple[Callable[[dict[str, Any]], dict[str, Any]], ...] = (_switches_move_to_their_parts,)
