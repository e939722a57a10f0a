"""YAML in and out, stricter than the parser's own defaults."""

import re
from collections.abc import Hashable
from typing import Any

import yaml

from vistrials.errors import SpecError

MAX_CHARACTERS = 1 << 20
"""Of one text: hundreds of times a trial with all its comments."""

MAX_DEPTH = 64
"""Mappings and lists within each other; the parsers recurse, and one in C ends the program where the stack does."""

MAX_ALIASED_NODES = 100_000
"""Values after all aliases (*name) are followed: a few lines of them can stand for thousands of millions."""


_MERGE = "tag:yaml.org,2002:merge"
"""Of the key <<, which stands for the keys of another mapping."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Safe YAML that refuses a key given twice (the parser would silently keep the last)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable) or isinstance(key, tuple):
                raise yaml.MarkedYAMLError(problem="a key is no plain value", problem_mark=key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} is given twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Safe YAML that `_Loader` reads back."""


# YAML 1.1 reads 1e-3 as a string because it has no dot.
for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
        list("-+.0123456789"),
    )


def parse_yaml(text: str, source: str) -> Any:
    """The value that a YAML text holds.

    Args:
        text: one YAML document.
        source: file name or option that the text comes from, for the error.

    Raises:
        SpecError: the text is no YAML, gives a key twice, or is larger than any trial: in characters, in depth, with
            its aliases followed, or in the digits of a number.
    """
    if len(text) > MAX_CHARACTERS:
        raise SpecError(f"{source}: {len(text):,} characters of YAML; expected at most {MAX_CHARACTERS:,}")
    try:
        _refuse_bombs(text)
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise SpecError(f"{source}: {line}expected YAML, found a mistake in it: {problem}") from None
    except (ValueError, OverflowError, RecursionError) as error:
        # Such as an integer of thousands of digits, which Python refuses to convert, or the 40th of a month.
        reason = str(error).split(";")[0]
        raise SpecError(f"{source}: expected YAML, found a value that cannot be read: {reason}") from None


def _refuse_bombs(text: str) -> None:
    """Go through a text event by event, which takes little memory whatever it holds.

    Raises:
        yaml.MarkedYAMLError: it nests deeper, or stands for more values, than anything that is meant.
    """
    # Per open mapping or list: the anchor of it, and how many values it stands for so far.
    stack: list[list[Any]] = [[None, 0]]
    sizes: dict[str, int] = {}
    for event in yaml.parse(text, Loader=_Loader):
        mark: Any = event.start_mark  # the stubs tell marks of the two parsers apart
        size, anchor = 1, getattr(event, "anchor", None)
        if isinstance(event, yaml.CollectionStartEvent):
            stack.append([anchor, 1])
            if len(stack) > MAX_DEPTH + 1:
                problem = f"nested more than {MAX_DEPTH} deep"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = stack.pop()
        elif isinstance(event, yaml.AliasEvent):
            alias = str(event.anchor)
            if alias in (open_anchor for open_anchor, _ in stack):
                problem = f"alias {alias!r} stands for what it lies in"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
            anchor, size = None, sizes.get(alias, 1)
        elif not isinstance(event, yaml.ScalarEvent):
            continue
        if anchor is not None:
            sizes[anchor] = size
        stack[-1][1] += size
        if stack[-1][1] > MAX_ALIASED_NODES:
            problem = f"aliases that stand for more than {MAX_ALIASED_NODES:,} values"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def scalar_to_yaml(value: Any) -> str:
    """A number, string, null, list or mapping as YAML on one line."""
    text = yaml.dump(
        value,
        Dumper=_Dumper,
        default_flow_style=True,
        width=float("inf"),
        allow_unicode=True,
        sort_keys=False,
    )
    return text.removesuffix("...\n").strip()
