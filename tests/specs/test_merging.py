"""Layers of settings: what wins, what starts over, and which layer an error names."""

from typing import Annotated, Literal

import pytest
from pydantic import Field

from vistrials.errors import SpecError
from vistrials.specs.base import Spec
from vistrials.specs.merging import Layer, default_values, merge_layers, source_of


class Round(Spec):
    kind: Literal["round"] = "round"
    radius: int = 1
    colours: tuple[str, ...] = ("red", "blue")


class Square(Spec):
    kind: Literal["square"] = "square"
    radius: int = 7
    side: int = 2


class Sheet(Spec):
    width: int = 10
    form: Annotated[Round | Square, Field(discriminator="kind")] | None = Round()


def merged(*layers: dict[str, object]) -> Sheet:
    return merge_layers(Sheet, [Layer(f"layer {number}", values) for number, values in enumerate(layers)])


def test_defaults_are_plain_values() -> None:
    form = {"kind": "round", "radius": 1, "colours": ["red", "blue"]}
    assert default_values(Sheet) == {"width": 10, "form": form}
    assert merged() == Sheet()


def test_mappings_merge_and_later_layers_win() -> None:
    sheet = merged({"width": 11, "form": {"radius": 3}}, {"width": 12, "form": {"colours": ["green"]}})
    assert sheet == Sheet(width=12, form=Round(radius=3, colours=("green",)))


def test_another_kind_starts_from_its_own_defaults_and_the_same_goes_on() -> None:
    square = {"form": {"kind": "square", "side": 5}}
    assert merged({"form": {"radius": 3}}, square) == Sheet(form=Square(radius=7, side=5))
    assert merged(square, {"form": {"radius": 4}}) == Sheet(form=Square(radius=4, side=5))
    assert merged(square, {"form": {"kind": "square", "radius": 4}}) == Sheet(form=Square(radius=4, side=5))


def test_null_takes_a_part_away_and_a_mapping_over_it_starts_over() -> None:
    assert merged({"form": {"radius": 3}}, {"form": None}) == Sheet(form=None)
    assert merged({"form": None}, {"form": {"kind": "round"}}) == Sheet()


@pytest.mark.parametrize(
    ("layers", "line"),
    [
        (({}, {"form": {"kind": "oval"}}), r"^layer 1: form: unknown kind 'oval'; expected one of round, square$"),
        (({"form": {"radios": 3}}, {}), r"^layer 0: form\.radios: unknown key; did you mean 'radius'\?$"),
        (({"width": "wide"}, {"width": 12}, {"form": {"radius": "x"}}), r"^layer 2: form\.radius: expected"),
        (({"form": {"radius": "x"}}, {"form": {"colours": []}}), r"^layer 0: form\.radius: expected"),
    ],
)
def test_an_error_names_the_layer_at_fault(layers: tuple[dict[str, object], ...], line: str) -> None:
    with pytest.raises(SpecError, match=line):
        merged(*layers)


def test_the_topmost_layer_that_wrote_a_value_or_else_a_mapping_around_it() -> None:
    layers = [
        Layer("first", {"a": {"b": 1}, "c": 1}),
        Layer("second", {"a": {"b": 2}}),
        Layer("third", {"a": {"d": 3}}),
    ]
    assert [source_of(path, layers) for path in ("a.b", "a.d", "a.x", "c", "x", "")] == [
        *("second", "third", "third", "first", "third", "third")
    ]
    assert source_of("a", []) == "defaults"
