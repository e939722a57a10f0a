"""What a run has recorded of its settings, for readers that need no network: also where a setting is unknown here."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vistrials.errors import DataError, RunError, SpecError
from vistrials.formats.files import refuse_special
from vistrials.specs.base import PLAIN_NAME
from vistrials.specs.custom import change_custom_parts
from vistrials.specs.loading import read_spec
from vistrials.specs.trial import TrialSpec
from vistrials.specs.yaml_text import parse_yaml

_REMEDY = (
    "the run was made by another version or damaged: redo it with --force, or choose another folder with --results"
)


@dataclass(frozen=True, slots=True)
class RecordedSpec:
    """The spec.yaml of a run.

    Attributes:
        name, profile: of the trial.
        splits: that the run predicts, the main one first.
        spec: all of it; None where it holds a setting, or a kind of a part, that this version does not know.
        problem: what that is, in one line; None where there is none.
        digest: SHA-256 of what is written, without its description.
    """

    name: str
    profile: str
    splits: tuple[str, ...]
    spec: TrialSpec | None
    problem: str | None
    digest: str


_known: dict[str, RecordedSpec] = {}
"""What whole files say, by their text: the seeds of a trial share it, and parsing it is most of reading a run."""


def read_recorded_spec(path: Path) -> RecordedSpec:
    """Read the spec.yaml of a run, of this version or another.

    Raises:
        RunError: it is no YAML, or does not say which trial, profile and splits the run has.
    """
    try:
        refuse_special(path)
        text = path.read_text(encoding="utf-8")
        if text in _known:
            return _known[text]
        document = parse_yaml(text, str(path))
    except (DataError, SpecError) as error:
        raise RunError(f"{error}; {_REMEDY}") from None
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror or error}); {_REMEDY}") from None
    except UnicodeDecodeError as error:
        raise RunError(f"{path}: expected text in UTF-8, found none at byte {error.start}; {_REMEDY}") from None
    if not text.endswith("\n"):
        raise RunError(f"{path}: expected whole lines, found the last one without an end: cut short; {_REMEDY}")
    spec, problem = None, None
    try:
        spec = read_spec(document, str(path))
    except SpecError as error:
        problem = str(error)
    labels = (spec.name, spec.profile, spec.data.splits) if spec else _labels(document)
    if labels is None:
        raise RunError(f"{problem}; {_REMEDY}")
    written = {key: value for key, value in document.items() if key != "description"}
    digest = hashlib.sha256(json.dumps(written, sort_keys=True, default=str).encode()).hexdigest()
    recorded = RecordedSpec(*labels, spec, problem, digest)
    if problem is None:  # which names the file
        _known[text] = recorded
    return recorded


def read_whole_spec(path: Path) -> TrialSpec:
    """The spec.yaml of a run that all of this version's parts can be made from; files of custom parts lie beside it.

    Raises:
        RunError: it holds something that this version does not know, or is damaged.
    """
    recorded = read_recorded_spec(path)
    if recorded.spec is None:
        raise RunError(f"{recorded.problem}; {_REMEDY}")
    return change_custom_parts(recorded.spec, lambda _, part: part.at(path.parent))


def _labels(document: Any) -> tuple[str, str, tuple[str, ...]] | None:
    """Name, profile and splits of a spec of whatever version; None where they are not where they belong."""
    try:
        name, profile, splits = document["name"], document["profile"], document["data"]["splits"]
    except (KeyError, TypeError):
        return None
    texts = [name, profile, *splits] if isinstance(splits, list) and splits else [None]
    return (name, profile, tuple(splits)) if all(map(_is_plain, texts)) else None


def _is_plain(text: Any) -> bool:
    return isinstance(text, str) and re.fullmatch(PLAIN_NAME, text) is not None
