"""Files of weights, read and written: the one place that opens them."""

import hashlib
import json
import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from vistrials.errors import CheckpointError
from vistrials.formats.file_beginnings import NUM_BYTES, PICKLE, SAFETENSORS, ZIP, describe_beginning
from vistrials.formats.files import replacing
from vistrials.weights.harmless import harmless_globals
from vistrials.weights.seal import KEY as SEAL
from vistrials.weights.seal import check_seal, seal
from vistrials.weights.wrappers import Found, find_tensors

ROUNDED_FROM = "rounded_from_network_sha256"
"""In the metadata of weights that were rounded to float16: the digest of the network before, another one."""

_NAMES_SHOWN = 3
_MAX_RATIO, _FREE_BYTES = 4, 512 << 20
"""Bytes of tensors for each byte of a torch file, which stores them as they are, and bytes that any file may have: two
networks of the study."""
_MAY_BE_TORCH = (ZIP, PICKLE)
"""What torch files are by their first bytes, today's and those of before 1.6."""


def save_weights(path: Path, model: nn.Module, metadata: Mapping[str, str]) -> None:
    """Save a model's parameters and buffers as safetensors, floating-point ones as float32; atomic.

    Args:
        path: the file.
        model: its `state_dict` is saved.
        metadata: text to go along, such as trial, iteration and category names.
    """
    save_tensors(path, model.state_dict(), metadata)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], *, half: bool = False) -> None:
    """Save tensors as safetensors; atomic.

    Args:
        path: the file.
        tensors: by name.
        metadata: text to go along.
        half: floating-point ones as float16 instead of float32: half the size, for figures that agree to their noise.
            The metadata then name the network that was rounded.
    """
    converted = _converted(tensors, half)
    if half and any(value.dtype != converted[key].dtype for key, value in tensors.items()):
        metadata = {**metadata, ROUNDED_FROM: digest_of_tensors(tensors)}
    content = seal(save(converted, metadata=dict(metadata)))
    with replacing_checkpoint(path) as temporary:
        temporary.write_bytes(content)


def save_torch_file(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any], *, half: bool = False) -> None:
    """Save tensors as a torch file in the form of mmdetection, {"state_dict", "meta"}; atomic. Arguments as above."""
    content = {"meta": dict(meta), "state_dict": OrderedDict(_converted(tensors, half))}
    # The programs that read this form run on versions of PyTorch that know the old container only.
    with replacing_checkpoint(path) as temporary:
        torch.save(content, temporary, _use_new_zipfile_serialization=False)


def _converted(tensors: Mapping[str, Tensor], half: bool) -> dict[str, Tensor]:
    dtype = torch.float16 if half else torch.float32
    return {
        key: (value.to(dtype) if value.is_floating_point() else value).detach().cpu().contiguous().clone()
        for key, value in tensors.items()
    }


def read_metadata(path: Path) -> dict[str, str]:
    """The text that went along with weights; of a torch file the category names, where mmdetection's meta has them.

    Raises:
        CheckpointError: missing or damaged file.
    """
    if is_safetensors(path):
        with _open_safetensors(path) as file:
            return {name: text for name, text in (file.metadata() or {}).items() if name != SEAL}
    content = load_torch_file(path)
    meta = content.get("meta") if isinstance(content, dict) else None
    meta = meta if isinstance(meta, dict) else {}
    of_data = meta.get("dataset_meta")
    names = next(
        (
            part[key]
            for part in (meta, of_data)
            if isinstance(part, dict)
            for key in ("CLASSES", "classes")
            if key in part
        ),
        None,
    )
    return {"category_names": json.dumps(list(names))} if isinstance(names, list | tuple) else {}


def name_weights(path: Path) -> str:
    """A file in a message, with the trial and profile that it is of where it says so.

    Raises:
        CheckpointError: missing or damaged file.
    """
    metadata = read_metadata(path)
    known = "trial" in metadata and "profile" in metadata
    return f"{path} (of {metadata['trial']}, profile {metadata['profile']})" if known else str(path)


@dataclass(frozen=True, slots=True)
class WeightsReport:
    """What became of each key, sorted."""

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    """In the model, not in the file: left fresh."""
    unexpected: tuple[str, ...]
    """In the file, not in the model: ignored."""
    mismatched: tuple[str, ...]
    """In both, but of another shape: left fresh."""
    notes: tuple[str, ...] = ()
    """What was chosen of the file."""

    def summary(self) -> str:
        """One line with the counts and the parts of the model that stayed fresh or were ignored."""
        parts = [f"{len(self.loaded)} tensors loaded"]
        for keys, fate in (
            (self.missing, "fresh, absent from the file"),
            (self.mismatched, "fresh, of another shape"),
            (self.unexpected, "ignored, unknown to the model"),
        ):
            if keys:
                parts.append(f"{len(keys)} {fate} ({_some(keys)})")
        parts += self.notes
        return "; ".join(parts)


def load_weights(
    model: nn.Module,
    path: Path,
    *,
    allow_mismatch: bool = False,
    allow_missing: bool = True,
    change: Callable[[dict[str, Tensor], Mapping[str, Tensor]], dict[str, Tensor]] | None = None,
) -> WeightsReport:
    """Load weights from a file into a model, whole tensors only.

    Layers that the file lacks keep their fresh values (a new head on a trained network) unless
    `allow_missing` is off. A tensor of another shape, and one that the model does not know, are refused
    unless `allow_mismatch` is on: then the first stays fresh and the second is ignored.

    Args:
        model: changed in place; half-precision tensors of the file are cast to its dtype.
        path: .safetensors, or a torch file with a state dict or a training checkpoint.
        allow_mismatch: see above.
        allow_missing: see above.
        change: makes of the file's tensors and the model's those to load, before they are compared.

    Returns:
        What became of each key.

    Raises:
        CheckpointError: naming file, key, expected and found shape; also where not one tensor fits, or one
            holds NaN or infinity.
    """
    found, notes = read_checkpoint(path)
    expected = model.state_dict()
    if change is not None:
        found = change(found, expected)
    report = replace(compare_tensors(found, expected), notes=notes)
    if not report.loaded:
        raise CheckpointError(
            f"{path}: no tensor fits the model: expected names such as {_some(sorted(expected))}, "
            f"found {_some(sorted(found)) or 'none'}; weights of other programs: `vistrials import-checkpoint`"
        )
    if report.mismatched and not allow_mismatch:
        key = report.mismatched[0]
        raise CheckpointError(
            f"{name_weights(path)}: {key}: expected shape {tuple(expected[key].shape)}, found {tuple(found[key].shape)}"
            f"{_and_more(report.mismatched)}; init.allow_mismatch: true leaves such layers fresh"
        )
    if report.unexpected and not allow_mismatch:
        raise CheckpointError(
            f"{name_weights(path)}: {report.unexpected[0]}: the model has no such tensor"
            f"{_and_more(report.unexpected)}; init.allow_mismatch: true ignores them"
        )
    if report.missing and not allow_missing:
        key = report.missing[0]
        raise CheckpointError(
            f"{name_weights(path)}: {key}: expected shape {tuple(expected[key].shape)}, found nothing"
            f"{_and_more(report.missing)}; these weights belong to another model"
        )
    loaded = {key: found[key] for key in report.loaded}
    check_finite(path, loaded)
    model.load_state_dict(loaded, strict=False)
    return report


def digest_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values: the same for one network in any file, whatever text goes along."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def digest_of_file(path: Path) -> str:
    """The same of the network that a file's weights make: half-precision tensors count as what they are loaded as."""
    return digest_of_tensors(_converted(read_tensors(path), half=False))


def compare_tensors(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> WeightsReport:
    """What would become of each key, by names and shapes."""
    shared = sorted(expected.keys() & found.keys())
    mismatched = tuple(key for key in shared if expected[key].shape != found[key].shape)
    return WeightsReport(
        loaded=tuple(key for key in shared if key not in set(mismatched)),
        missing=tuple(sorted(expected.keys() - found.keys())),
        unexpected=tuple(sorted(found.keys() - expected.keys())),
        mismatched=mismatched,
    )


def check_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse weights that a training has broken.

    Raises:
        CheckpointError: one holds NaN or infinity.
    """
    if broken := [key for key, value in tensors.items() if not torch.isfinite(value).all()]:
        raise CheckpointError(
            f"{path}: {broken[0]}: expected finite numbers, found NaN or infinity{_and_more(tuple(broken))}; "
            "copy or train it again"
        )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file; see `read_checkpoint`."""
    return read_checkpoint(path).tensors


def read_checkpoint(path: Path, key: str | None = None) -> Found:
    """The tensors of a safetensors file, or of a torch file with a state dict or a training checkpoint.

    Which of the two a file is, its content says. Names come without what compilers, parallel wrappers and outer modules
    put before them (see `wrappers.plain_names`).

    Args:
        path: the file.
        key: of the part of a torch file to take, such as model_ema; by default the trained network.

    Raises:
        CheckpointError: missing or damaged file, or one that holds something else.
    """
    if is_safetensors(path):
        with _open_safetensors(path) as file:
            content: Any = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - a file, not a dict
    else:
        content = load_torch_file(path)
    try:
        found = find_tensors(content, key)
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: {error.args[0]}") from None
    if found is None:
        raise CheckpointError(
            f"{path}: expected a dictionary of names and tensors, found {type(content).__name__}; "
            "it is a torch file, but no checkpoint"
        )
    # Also tensors that repeat a few numbers, which every copy would write out.
    _check_amount(path, sum(tensor.numel() * tensor.element_size() for tensor in found.tensors.values()))
    return found


def _check_amount(path: Path, num_bytes: int) -> None:
    packed = path.stat().st_size
    if num_bytes > _MAX_RATIO * packed + _FREE_BYTES:
        raise CheckpointError(
            f"{path}: {packed:,} bytes that would unpack to {num_bytes:,} of tensors; expected about as many: "
            "these are no weights, get them from their publishers"
        )


def is_safetensors(path: Path) -> bool:
    """Whether a file is one of safetensors, by its content or else by its name."""
    kind = _kind_of(path)
    return kind == SAFETENSORS or (path.suffix == ".safetensors" and kind not in _MAY_BE_TORCH)


def _open_safetensors(path: Path) -> Any:
    _check_exists(path)
    try:
        file = safe_open(path, framework="pt")
        check_seal(path)
        return file
    except (SafetensorError, OSError) as error:
        _refuse_other_files(path)
        raise CheckpointError(f"{path}: not a readable safetensors file ({error}); copy or train it again") from None


def load_torch_file(path: Path) -> Any:
    """What a torch file holds, tensors and plain values alone.

    Raises:
        CheckpointError: missing, damaged, or with Python objects in it.
    """
    _check_exists(path)
    if zipfile.is_zipfile(path):
        _check_amount(path, _unzipped_bytes(path))
    try:
        with (
            warnings.catch_warnings(),
            torch.serialization.safe_globals(harmless_globals()),
            # By its name torch takes a file for one of safetensors.
            open(path, "rb") if path.suffix == ".safetensors" else nullcontext(path) as source,
        ):
            warnings.simplefilter("ignore")  # about damage, in words for torch's own developers
            return torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        _refuse_other_files(path)
        # Torch's own message tells the user to load it all the same.
        refused = re.search(r"GLOBAL (\S+)", str(error))
        named = f" ({refused[1]})" if refused else ""
        raise CheckpointError(
            f"{path}: not a torch file of tensors alone: it is another kind of file, or holds Python objects{named}, "
            f"which could run code; {_how_to_save(path, named)}"
        ) from None
    except Exception as error:  # torch's reader fails in whatever way the damage leads to
        _refuse_other_files(path)
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path}: damaged or not a torch file ({reason}); copy or train it again") from None


def _unzipped_bytes(path: Path) -> int:
    try:
        with zipfile.ZipFile(path) as zipped:
            return sum(entry.file_size for entry in zipped.infolist())
    except Exception:  # a damaged list fails in whatever way; torch's reader, which reads it as well, says so
        return 0


def _how_to_save(path: Path, named: str) -> str:
    if named:
        return "where it was made, save model.state_dict() alone, or convert it to .safetensors"
    with open(path, "rb") as file:
        is_detectron2 = b"bottom_up" in file.read(1 << 20) or path.suffix == ".pkl"
    if is_detectron2:
        return "it looks like one of detectron2's model zoo, whose networks are others"
    return "check the path, or convert it to .safetensors"


def _kind_of(path: Path) -> str:
    """What a file is by its first bytes; empty where it is not there or nothing is known."""
    if not path.is_file():
        return ""
    try:
        with open(path, "rb") as file:
            return describe_beginning(file.read(NUM_BYTES))
    except OSError:
        return ""


def _refuse_other_files(path: Path) -> None:
    """Refuse what is no file of weights, if it is known what it is.

    Raises:
        CheckpointError: says what it is.
    """
    kind = _kind_of(path)
    if kind and kind != SAFETENSORS and kind not in _MAY_BE_TORCH:
        raise CheckpointError(f"{path}: not weights but {kind}")


def _check_exists(path: Path) -> None:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; check the path")


@contextmanager
def replacing_checkpoint(path: Path) -> Iterator[Path]:
    """`replacing`, with failures told in one line.

    Raises:
        CheckpointError: the file cannot be written.
    """
    try:
        with replacing(path) as temporary:
            yield temporary
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be written ({error}); check space and permissions") from None


def _some(keys: tuple[str, ...] | list[str]) -> str:
    shown = ", ".join(keys[:_NAMES_SHOWN])
    return f"{shown}, ..." if len(keys) > _NAMES_SHOWN else shown


def _and_more(keys: tuple[str, ...]) -> str:
    return f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
