"""Whether the weights of a run are still those that it has recorded."""

from vistrials.errors import RunError
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
        RunError: they have changed, or the record cannot be read.
        CheckpointError: no file, or a damaged one.
    """
    path = directory.weights
    metadata, found = read_metadata(path), sha256_of(path)
    stages = read_provenance(directory.provenance).get("stages", {})
    entries = [entry for name, entry in stages.items() if name == "train" or name.startswith("infer/")]
    files = [entry["weights_sha256"] for entry in entries if "weights_sha256" in entry]
    networks = [entry["network_sha256"] for entry in entries if "network_sha256" in entry]
    if files and found not in files and metadata.get(ROUNDED_FROM) not in networks:
        raise RunError(
            f"{path}: expected the weights that provenance.json names (sha256 {files[0][:12]}), found others "
            f"({found[:12]}), damaged or replaced; put them back, or redo with `{directory.command('run', '--force')}`"
        )
    return found
