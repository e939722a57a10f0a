"""Trials and profiles on disk -> resolved specs, and resolved specs -> text.

Order of the layers, later over earlier: defaults, the profile and what it extends (root first), the trial and
what it extends (root first; each first its sections, then its `per_profile` sections that apply), overrides.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vistrials.errors import SpecError
from vistrials.specs.base import Spec
from vistrials.specs.custom import CustomSpec, change_custom_parts
from vistrials.specs.merging import Layer, did_you_mean, layer_of, merge_layers, source_of
from vistrials.specs.migration import SCHEMA, migrate
from vistrials.specs.trial import TrialSpec
from vistrials.specs.without_effect import refuse_without_effect
from vistrials.specs.yaml_text import parse_yaml, scalar_to_yaml

DEFAULT_PROFILE = "demo"

Kind = Literal["trial", "profile"]

_OF_THE_STUDY = ("starts", "study", "further")  # parts of the table; the others are controls

_LABELS = ("name", "description", "profile")
_SECTIONS = tuple(field for field in TrialSpec.model_fields if field not in _LABELS)
_FILE_KEYS: dict[Kind, tuple[str, ...]] = {
    "trial": ("description", "extends", "per_profile", *_SECTIONS),
    "profile": ("description", "extends", *_SECTIONS),
}


@dataclass(frozen=True, slots=True)
class SpecFile:
    """A trial or profile as it is written, before anything is merged."""

    name: str
    path: Path
    description: str
    extends: str | None
    sections: dict[str, Any]
    per_profile: dict[str, dict[str, Any]]


def load_trial(name_or_path: str | Path, profile: str | None = None, overrides: Sequence[str] = ()) -> TrialSpec:
    """Resolve a trial under a profile.

    Args:
        name_or_path: a trial's name, a trial's YAML, or a resolved spec (spec.yaml of a run).
        profile: name or YAML of a profile; None for demo, or for the recorded one of a resolved spec.
        overrides: `a.b=value` on top of everything, the value read as YAML.

    Raises:
        SpecError: no such trial or profile, a cycle, an unknown key, an invalid value, or one without effect.

    >>> import vistrials
    >>> spec = vistrials.load_trial("baseline", "demo", ["train.max_iters=3"])
    >>> spec.name, spec.train.max_iters, spec.data.splits
    ('baseline', 3, ('minival', 'occlusion'))
    """
    if _is_path(name_or_path):
        path = _existing(Path(name_or_path), "trial")
        document = _read_mapping(path)
        if {"name", "profile"} <= document.keys():
            return _load_resolved(document, path, profile, overrides)
    spec, layers = _resolve(str(name_or_path), profile or DEFAULT_PROFILE, overrides)
    _check_start(spec, layers)
    return spec


def parse_spec(text: str, source: str = "spec.yaml", overrides: Sequence[str] = ()) -> TrialSpec:
    """The spec that `dump_spec` turned into text, in this version or an earlier one, with overrides on top.

    Raises:
        SpecError: no such text, or of a newer version, or an override that does not fit.
    """
    return read_spec(parse_yaml(text, source), source, overrides)


def read_spec(document: Any, source: str, overrides: Sequence[str] = ()) -> TrialSpec:
    """As `parse_spec`, of YAML that is parsed already."""
    layers = [Layer(source, migrate(_as_mapping(document, source), source))]
    return _merge_with_overrides(layers, overrides)[0] if overrides else merge_layers(TrialSpec, layers)


def overrides_within(overrides: Sequence[str], paths: Sequence[str]) -> tuple[str, ...]:
    """What overrides set at or below some dotted paths, again as overrides; one that holds more is cut down to it.

    Raises:
        SpecError: one of them is no override.
    """
    return tuple(kept for text in overrides if (kept := _override_within(text, paths)) is not None)


def dump_spec(spec: TrialSpec, docs: bool = False) -> str:
    """A resolved spec as YAML that `parse_spec` and `load_trial` read back; `docs` explains each field."""
    schema = f"schema: {SCHEMA}" + "  # Version of this file's form." * docs
    return "\n".join([schema, *_yaml_lines(spec, 0, docs)]) + "\n"


def trial_differences(spec: TrialSpec, baseline: TrialSpec) -> list[tuple[str, Any, Any]]:
    """What changes the result: (dotted path, value in `baseline`, value in `spec`), names aside."""
    ours, theirs = (s.model_dump(mode="json", by_alias=True, exclude={"name", "description"}) for s in (spec, baseline))
    return list(_differences(ours, theirs, ""))


def list_trials() -> list[SpecFile]:
    """The trials that a name can mean, by name; ./trials hides a shipped trial of the same name."""
    return _list("trial")


def list_profiles() -> list[SpecFile]:
    """The profiles that a name can mean, by name."""
    return _list("profile")


def load_table_rows() -> dict[str, tuple[str, ...]]:
    """The trials that ship, in the order of tables and plots, by their part.

    starts, study, further; and the controls: neck, propagation, affinity, sampling.
    """
    return {part: tuple(trials) for part, trials in _read_mapping(_shipped_trials() / "tables" / "rows.yaml").items()}


def trials_of_parts(names: Sequence[str]) -> list[str]:
    """Trials by name, where a part of the table stands for its trials; without names all but the controls."""
    rows = load_table_rows()
    if names:
        return list(dict.fromkeys(trial for name in names for trial in rows.get(name, (name,))))
    controls = {trial for part, trials in rows.items() if part not in _OF_THE_STUDY for trial in trials}
    return [file.name for file in list_trials() if file.name not in controls]


def _resolve(trial: str, profile: str, overrides: Sequence[str], where: str = "") -> tuple[TrialSpec, list[Layer]]:
    near = Path(trial).parent if _is_path(trial) else None
    profiles = _chain(profile, "profile", near, where)
    trials = _chain(trial, "trial", near, where)
    applying = [file.name for file in profiles]
    known = {path.stem for path in _candidates("profile", near)} | set(applying)
    layers = [Layer(_shown(file.path), file.sections, file.path.parent) for file in profiles]
    for file in trials:
        layers.append(Layer(_shown(file.path), file.sections, file.path.parent))
        for name in file.per_profile:
            if name not in known:
                where = f"{_shown(file.path)}: per_profile.{name}"
                raise SpecError(f"{where}: no such profile{did_you_mean(name, known)}")
        layers += [
            Layer(f"{_shown(file.path)} (per_profile.{name})", file.per_profile[name], file.path.parent)
            for name in applying
            if name in file.per_profile
        ]
    labels = {"name": trials[-1].name, "description": trials[-1].description, "profile": applying[-1]}
    layers.insert(0, Layer(_shown(trials[-1].path), labels))
    return _merge_with_overrides(layers, overrides)


def _located(spec: TrialSpec, layers: Sequence[Layer]) -> TrialSpec:
    """The spec of layers, in which files of custom parts have absolute paths and digests."""
    files: dict[str, str | None] = {}

    def locate(path: str, part: CustomSpec) -> CustomSpec:
        layer = layer_of(f"{path}.path", layers)
        assert layer is not None  # a path has no default
        where = f"{layer.source}: {path}"
        part = part.at(layer.folder).pinned(where)
        if files.setdefault(part.file.name, part.sha256) != part.sha256:
            raise SpecError(f"{where}: {part.file.name}: two files of this name, which a run cannot keep: rename one")
        return part

    return change_custom_parts(spec, locate)


def _load_resolved(document: dict[str, Any], path: Path, profile: str | None, overrides: Sequence[str]) -> TrialSpec:
    if profile is not None and profile != document["profile"]:
        raise SpecError(
            f"{_shown(path)}: profile: expected {profile!r}, found {document['profile']!r}; "
            "this spec is resolved already: leave the profile out, or name the trial instead"
        )
    recorded = Layer(_shown(path), migrate(document, _shown(path)), path.parent)
    spec, _ = _merge_with_overrides([recorded], overrides)
    return spec


def _merge_with_overrides(layers: list[Layer], overrides: Sequence[str]) -> tuple[TrialSpec, list[Layer]]:
    """The spec of layers and of overrides on top of them, and all layers."""
    all_layers = [*layers, *(_override_layer(text) for text in overrides)]
    spec = merge_layers(TrialSpec, all_layers)
    refuse_without_effect(spec, all_layers, len(layers))
    return _located(spec, all_layers), all_layers


def _check_start(spec: TrialSpec, layers: list[Layer]) -> None:
    """Fail now, not after hours of training, where a trial to start from is missing or goes in circles."""
    names = [spec.name]
    while (start := spec.init.from_trial) is not None:
        where = f"{source_of('init.from', layers)}: init.from: "
        if spec.init.source[0] != "trial":
            _find(start, "trial", None, where)
            return
        if start in names:
            circle = " -> ".join([*names, start])
            raise SpecError(f"{where}goes in circles: {circle}; start one of them elsewhere")
        names.append(start)
        spec, layers = _resolve(start, spec.profile, (), where)


def _chain(name_or_path: str, kind: Kind, near: Path | None, where: str = "") -> list[SpecFile]:
    """A file and what it extends, root first."""
    chain = [_read(_find(name_or_path, kind, near, where), kind)]
    while (parent := chain[0].extends) is not None:
        file = _read(_find(parent, kind, near, f"{_shown(chain[0].path)}: extends: "), kind)
        if file.path.resolve() in {seen.path.resolve() for seen in chain}:
            names = " -> ".join([*(seen.name for seen in reversed(chain)), file.name])
            raise SpecError(f"{_shown(file.path)}: extends goes in circles: {names}; drop one of them")
        chain.insert(0, file)
    return chain


def _read(path: Path, kind: Kind) -> SpecFile:
    document, shown = _read_mapping(path), _shown(path)
    for key in document:
        if key not in _FILE_KEYS[kind]:
            raise SpecError(f"{shown}: {key}: unknown key{did_you_mean(key, _FILE_KEYS[kind])}")
    for key in ("description", "extends"):
        if not isinstance(document.get(key, ""), str):
            raise SpecError(f"{shown}: {key}: expected text, found {document[key]!r}")
    per_profile = {
        name: _sections(_as_mapping(values, f"{shown}: per_profile.{name}"), f"{shown}: per_profile.{name}.")
        for name, values in _as_mapping(document.get("per_profile"), f"{shown}: per_profile").items()
    }
    sections = _sections({key: document[key] for key in _SECTIONS if key in document}, f"{shown}: ")
    description = " ".join(document.get("description", "").split())
    return SpecFile(path.stem, path, description, document.get("extends"), sections, per_profile)


def _sections(values: dict[str, Any], where: str) -> dict[str, Any]:
    """Sections as mappings; one that is written without anything under it changes nothing."""
    for key in values:
        if key not in _SECTIONS:
            raise SpecError(f"{where}{key}: unknown section{did_you_mean(key, _SECTIONS)}")
    return {key: _as_mapping(value, f"{where}{key}") for key, value in values.items()}


def _override_layer(text: str) -> Layer:
    source = f"--set {text}"
    path, equals, value = text.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys):
        raise SpecError(f"{source}: expected KEY.KEY=VALUE, such as train.epochs=1")
    if keys[0] not in _SECTIONS:
        raise SpecError(f"{source}: {keys[0]}: unknown section{did_you_mean(keys[0], _SECTIONS)}")
    values = parse_yaml(value, source)
    if len(keys) == 1:
        values = _as_mapping(values, f"{source}: {keys[0]}")
    for key in reversed(keys):
        values = {key: values}
    return Layer(source, values)


def _override_within(text: str, paths: Sequence[str]) -> str | None:
    values = _override_layer(text).values
    kept = _values_within(values, [path.split(".") for path in paths])
    if kept == values:
        return text
    return next((f"{section}={scalar_to_yaml(value)}" for section, value in kept.items()), None)


def _values_within(values: dict[str, Any], paths: Sequence[Sequence[str]]) -> dict[str, Any]:
    kept = {}
    for key, value in values.items():
        below = [path[1:] for path in paths if path[0] == key]
        if [] in below:
            kept[key] = value
        elif below and isinstance(value, dict) and (inner := _values_within(value, below)):
            kept[key] = inner
    return kept


def _read_mapping(path: Path) -> dict[str, Any]:
    if path.exists() and not path.is_file():
        raise SpecError(f"{_shown(path)}: expected a YAML file, found a folder, pipe, socket or device")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{_shown(path)}: expected a readable YAML file: {error}") from None
    return _as_mapping(parse_yaml(text, _shown(path)), _shown(path))


def _as_mapping(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SpecError(f"{where}: expected a mapping, found {value!r}")
    return value


def _find(name_or_path: str, kind: Kind, near: Path | None, where: str = "") -> Path:
    if _is_path(name_or_path):
        return _existing(Path(name_or_path), kind)
    candidates = _candidates(kind, near)
    for path in candidates:
        if path.stem == name_or_path:
            return path
    known = {path.stem for path in candidates}
    # A trial to start from, and the baseline to compare with, are looked up under the profile's name alone.
    place = "; a profile of your own lies in ./trials/profiles" if kind == "profile" else ""
    raise SpecError(f"{where}no {kind} {name_or_path!r}{did_you_mean(name_or_path, known)}{place}")


def _existing(path: Path, kind: Kind) -> Path:
    if not path.is_file():
        raise SpecError(f"{path}: expected a {kind}'s YAML file, found none")
    return path


def _list(kind: Kind) -> list[SpecFile]:
    first_by_name: dict[str, Path] = {}
    for path in _candidates(kind):
        first_by_name.setdefault(path.stem, path)
    return [_read(path, kind) for _, path in sorted(first_by_name.items())]


def _candidates(kind: Kind, near: Path | None = None) -> list[Path]:
    """All YAMLs of a kind in the order in which a name is looked up."""
    folders = [near] if near else []
    folders += [Path("trials"), _shipped_trials()]
    if kind == "profile":
        folders = [folder / "profiles" for folder in folders]
    return [path for folder in folders for path in sorted(folder.glob("*.yaml"))]


def _shipped_trials() -> Path:
    """`trials/` inside an installed package; beside the package in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "trials"
    return inside if inside.is_dir() else package.parent / "trials"


def _is_path(name_or_path: str | Path) -> bool:
    return isinstance(name_or_path, Path) or name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path


def _shown(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _yaml_lines(spec: Spec, depth: int, docs: bool) -> Iterator[str]:
    indent = "  " * depth
    for name, field in type(spec).model_fields.items():
        value, key = getattr(spec, name), field.alias or name
        comment = f"  # {field.description}" if docs and field.description else ""
        if isinstance(value, Spec) and type(value).model_fields:
            yield f"{indent}{key}:{comment}"
            yield from _yaml_lines(value, depth + 1, docs)
        else:
            plain = list(value) if isinstance(value, tuple) else value
            yield f"{indent}{key}: {scalar_to_yaml(plain)}{comment}"


def _differences(ours: Any, theirs: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(ours, dict) and isinstance(theirs, dict) and ours.get("kind") == theirs.get("kind"):
        for key, value in ours.items():
            yield from _differences(value, theirs[key], f"{path}.{key}" if path else key)
    elif ours != theirs:
        yield path, theirs, ours
