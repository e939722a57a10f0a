"""docs/method.md has the sections that the code points to, and names settings and defaults as they are."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from vistrials.specs.base import Spec
from vistrials.specs.trial import TrialSpec

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
DESCRIPTION, _, DIFFERENCES = TEXT.partition("\n## 9 ")
SECTIONS = set(re.findall(r"^#{2,3} (\d+(?:\.\d+)?) ", TEXT, flags=re.MULTILINE))
SETTING = re.compile(r"`((?:init|data|model|train|inference)(?:\.\w+)+)(?::\s+([^`]+))?`")


def mentions() -> list[tuple[str, str]]:
    """File and section number of every "docs/method.md, section N" in the package."""
    pattern = re.compile(r"docs/method\.md,\s+sections?\s+(\d+(?:\.\d+)?)(?:\s+and\s+(\d+(?:\.\d+)?))?")
    return [
        (str(path.relative_to(ROOT)), section)
        for path in sorted((ROOT / "vistrials").rglob("*.py"))
        for match in pattern.finditer(path.read_text(encoding="utf-8"))
        for section in match.groups()
        if section
    ]


def with_setting(dotted: str, value: Any) -> dict[str, Any]:
    """A trial as nested mappings that has this setting, and of parts with kinds those that hold it."""
    trial: dict[str, Any] = {"name": "a", "profile": "b", "model": {"neck": {}}}
    kinds = {"backbone": {"kind": "resnet"}}
    if dotted.split(".")[-1] in ("init", "scope"):
        kinds["affinity"] = {"kind": "weighted"}
    place = trial
    *parents, last = dotted.split(".")
    for name in parents:
        place = place.setdefault(name, dict(kinds.get(name, {})))
    place[last] = value
    return trial


def read_setting(spec: Spec, dotted: str) -> Any:
    value: Any = spec
    for name in dotted.split("."):
        fields = {(field.alias or key): key for key, field in type(value).model_fields.items()}
        assert name in fields, f"docs/method.md names {dotted}, but {type(value).__name__} has no {name}"
        value = getattr(value, fields[name])
    return value


def test_sections_that_the_code_mentions_exist() -> None:
    missing = [f"{file}: section {section}" for file, section in mentions() if section not in SECTIONS]
    assert not missing


def test_sections_are_numbered_in_order() -> None:
    found = re.findall(r"^#{2,3} (\d+(?:\.\d+)?) ", TEXT, flags=re.MULTILINE)
    assert found == sorted(set(found), key=lambda number: [int(part) for part in number.split(".")])
    assert [n for n in found if "." not in n] == [str(n) for n in range(1, 10)]


@pytest.mark.parametrize(("dotted", "value"), sorted(set(SETTING.findall(DESCRIPTION))))
def test_settings_exist_and_defaults_are_those_of_the_specs(dotted: str, value: str) -> None:
    default = read_setting(TrialSpec(name="a", profile="b", model={"neck": {}}), dotted)
    if value:
        assert default == yaml.safe_load(value)


@pytest.mark.parametrize(("dotted", "value"), sorted(set(SETTING.findall(DIFFERENCES))))
def test_settings_that_bring_the_original_back_are_accepted(dotted: str, value: str) -> None:
    if value:
        given = yaml.safe_load(value)
        assert read_setting(TrialSpec.model_validate(with_setting(dotted, given)), dotted) == given
    else:
        read_setting(TrialSpec(name="a", profile="b"), dotted)
