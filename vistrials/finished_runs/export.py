"""A finished run -> weights that travel, with where they come from beside them."""

import json
import re
from pathlib import Path
from typing import Any

from vistrials.errors import CheckpointError
from vistrials.formats.files import WEIGHTS_SUFFIX, check_output, refuse_to_replace, sha256_of
from vistrials.formats.json_file import save_json_atomic
from vistrials.runs.directory import RunDirectory
from vistrials.runs.provenance import read_provenance
from vistrials.weights.files import read_metadata, read_tensors, save_tensors, save_torch_file
from vistrials.weights.original_names import to_original
from vistrials.weights.recorded import check_recorded

_FOLDERS = re.compile(r"""(?<![^\s"'=({\[])(?:[A-Za-z]:)?[/\\](?:[^\s"'/\\]+[/\\])+""")
"""The folders of absolute paths among other text, of this system and of Windows."""


def export_weights(
    run_or_file: Path | str, out: Path | str, *, half: bool = False, original: bool = False, replace: bool = False
) -> tuple[Path, ...]:
    """Copy the weights of a run, and beside them as .json where they come from and what they score.

    Args:
        run_or_file: results_dir/<profile>/<trial>/seed<N>, or a .safetensors file of ours, copied alone.
        out: the .safetensors file; with `original` the .pth file.
        half: as float16.
        original: by the original program's names, in the form of its checkpoints.
        replace: replace files that are there already.

    Returns:
        The files.

    Raises:
        DataError: a file to write is there already, has another suffix, or cannot be written.
        RunError: there is no such run.
        CheckpointError: no weights, damaged ones, or a parameter that the original program does not have.
    """
    source, out = Path(run_or_file), Path(out)
    beside = out.with_suffix(".json")
    written = (out,) if source.is_file() else (out, beside)
    check_output(out, [".pth" if original else WEIGHTS_SUFFIX], replace=True)
    if not replace:
        refuse_to_replace(written, "name another file")
    if source.is_file():
        _copy_weights(source, out, half, original)
        return written
    directory, spec = RunDirectory.open(source)
    check_recorded(directory)
    _copy_weights(directory.weights, out, half, original)
    record = {
        "trial": spec.name,
        "profile": spec.profile,
        "command": f"vistrials run {spec.name} --profile {spec.profile} --seed {directory.seed}",
        "half_precision": half,
        "sha256": sha256_of(out),
        "figures": {
            split: directory.read_metrics(split) for split in spec.data.splits if directory.is_evaluated(split)
        },
        "provenance": _without_folders(read_provenance(directory.provenance)),
    }
    save_json_atomic(beside, record, indent=2)
    return written


def _without_folders(record: Any) -> Any:
    """The record without the folders of absolute paths, which mean nothing elsewhere and name their owners."""
    if isinstance(record, dict):
        return {key: _without_folders(value) for key, value in record.items()}
    if isinstance(record, list):
        return [_without_folders(value) for value in record]
    return _FOLDERS.sub("", record) if isinstance(record, str) else record


def _copy_weights(source: Path, out: Path, half: bool, original: bool) -> None:
    tensors, metadata = read_tensors(source), read_metadata(source)
    out.parent.mkdir(parents=True, exist_ok=True)
    if not original:
        save_tensors(out, tensors, metadata, half=half)
        return
    try:
        renamed = to_original(tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{source}: {error}") from None
    meta: dict[str, Any] = dict(metadata)
    if "category_names" in meta:
        meta["CLASSES"] = tuple(json.loads(meta.pop("category_names")))
    save_torch_file(out, renamed, meta, half=half)
