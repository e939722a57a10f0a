"""YAML in and out."""

import pytest

from vistrials.errors import SpecError
from vistrials.specs.yaml_text import parse_yaml, scalar_to_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("5E4", 50000.0),
        ("12", 12),
        ("1.5", 1.5),
        ("v1e", "v1e"),
        ("null", None),
        ("[1, 2]", [1, 2]),
    ],
)
def test_values(text: str, value: object) -> None:
    parsed = parse_yaml(text, "here")
    assert parsed == value and type(parsed) is type(value)


def test_a_key_given_twice_is_refused_with_its_line() -> None:
    with pytest.raises(SpecError, match=r"^a\.yaml: line 3: .*'model' is given twice"):
        parse_yaml("model: {}\ndata: {}\nmodel: {}\n", "a.yaml")


def test_a_nested_key_given_twice_is_refused() -> None:
    with pytest.raises(SpecError, match="'lr' is given twice"):
        parse_yaml("train: {optimizer: {lr: 1, lr: 2}}", "a.yaml")


def test_broken_yaml_is_one_line() -> None:
    with pytest.raises(SpecError, match=r"^a\.yaml: line \d+: expected YAML") as caught:
        parse_yaml("a: [1,\nb: 2", "a.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [None, True, 0.1, 1e-7, "no", "1e-3", "", "a: b # c", "ü", [1, "x", None], []])
def test_scalars_read_back(value: object) -> None:
    text = scalar_to_yaml(value)
    assert "\n" not in text
    assert parse_yaml(text, "here") == value
