"""Whether the weights of a run are still those that it has recorded."""

from pathlib import Path

from vistrials.errors import CheckpointError, RunError
from vistrials.formats.files import sha256_of
from vistrials.runs.directory import RunDirectory
from vistrials.runs.provenance import read_provenance
from vistrials.weights.files import ROUNDED_FROM, read_metadata


def check_recorded(directory: RunDirectory) -> str:
    """Refuse weights of a run that have changed since its training, or since it predicted with them.

    Weights rounded for publication (see `save_tensors`) stand for those that they were rounded from. Runs of earlier
    versions, which have recorded nothing, pass.

    Returns:
        SHA-256 of the file.

    Raises:
        RunError: no file, a damaged one, or another one; or the record cannot be read.
    """
    path = directory.weights
    metadata, found = read_own_metadata(directory, path), sha256_of(path)
    stages = read_provenance(directory.provenance).get("stages", {})
    entries = [entry for name, entry in stages.items() if name == "train" or name.startswith("infer/")]
    files = [entry["weights_sha256"] for entry in entries if "weights_sha256" in entry]
    networks = [entry["network_sha256"] for entry in entries if "network_sha256" in entry]
    if files and found not in files and metadata.get(ROUNDED_FROM) not in networks:
        raise RunError(
            f"{path}: expected the weights that provenance.json names (sha256 {files[0][:12]}), found others "
            f"({found[:12]}), damaged or replaced; {_cure(directory)}"
        )
    return found


def read_own_metadata(directory: RunDirectory, path: Path) -> dict[str, str]:
    """What goes along with weights that a run has written.

    Raises:
        RunError: no file, or a damaged one; says how to redo the run.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "none"
        raise RunError(f"{path}: expected a file of weights, found {found}; {_cure(directory)}")
    try:
        return read_metadata(path)
    except CheckpointError as error:
        raise RunError(f"{str(error).rsplit('; ', 1)[0]}; {_cure(directory)}") from None


def _cure(directory: RunDirectory) -> str:
    return f"put it back, or redo with `{directory.command('run', '--force')}`"
