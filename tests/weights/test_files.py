import os
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vistrials.errors import CheckpointError
from vistrials.weights.files import (
    digest_of_file,
    digest_of_tensors,
    load_weights,
    read_metadata,
    read_tensors,
    save_tensors,
    save_torch_file,
    save_weights,
)


def model(outputs: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, outputs))


def one_line(caught: pytest.ExceptionInfo[CheckpointError]) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_weights_come_back_with_their_metadata(tmp_path: Path) -> None:
    path, original, other = tmp_path / "weights.safetensors", model(), model()
    save_weights(path, original, {"trial": "baseline", "iteration": "12"})
    report = load_weights(other, path, allow_missing=False)
    assert all(torch.equal(other.state_dict()[key], value) for key, value in original.state_dict().items())
    assert set(report.loaded) == set(original.state_dict())
    assert report.missing == report.unexpected == report.mismatched == ()
    assert read_metadata(path) == {"trial": "baseline", "iteration": "12"}


def test_saved_weights_are_float32_and_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(path, model().double(), {})
    other = model()
    load_weights(other, path)
    assert all(v.dtype in (torch.float32, torch.int64) for v in other.state_dict().values())
    assert path.stat().st_mode & 0o044  # not for the owner alone, whatever made the temporary file


def test_equal_weights_are_equal_files(tmp_path: Path) -> None:
    original, metadata = model(), {name: name for name in "abcdefgh"}
    for name in "xyz":
        save_weights(tmp_path / name, original, metadata)
    assert len({(tmp_path / name).read_bytes() for name in "xyz"}) == 1


def test_a_network_has_one_digest_in_all_files(tmp_path: Path) -> None:
    original = model()
    for seed in "01":
        save_weights(tmp_path / f"{seed}.safetensors", original, {"seed": seed})
    digests = {digest_of_tensors(read_tensors(tmp_path / f"{seed}.safetensors")) for seed in "01"}
    assert digests == {digest_of_tensors(original.state_dict())}


def test_another_value_shape_type_or_name_is_another_network() -> None:
    tensors = {"weight": torch.arange(6.0), "steps": torch.tensor(3)}
    changed = [
        tensors,
        tensors | {"weight": tensors["weight"] + 1e-6 * torch.eye(6)[3]},
        tensors | {"weight": tensors["weight"].reshape(2, 3)},
        tensors | {"weight": tensors["weight"].double()},
        {"weights": tensors["weight"], "steps": tensors["steps"]},
    ]
    assert len({digest_of_tensors(state) for state in changed}) == len(changed)
    assert digest_of_tensors(dict(reversed(tensors.items()))) == digest_of_tensors(tensors)


def test_half_precision_is_cast_up(tmp_path: Path) -> None:
    path, original, other = tmp_path / "half.safetensors", model(), model()
    halves = {key: v.half() if v.is_floating_point() else v for key, v in original.state_dict().items()}
    save_file(halves, path)
    load_weights(other, path)
    assert other[0].weight.dtype == torch.float32
    assert torch.equal(other[0].weight, original[0].weight.half().float())


def test_a_half_precision_copy_is_half_as_large_and_as_close_as_float16_allows(tmp_path: Path) -> None:
    path, copy = tmp_path / "weights.safetensors", tmp_path / "copy.safetensors"
    original, other = nn.Linear(100, 100), nn.Linear(100, 100)
    save_weights(path, original, {"trial": "baseline"})
    save_tensors(copy, read_tensors(path), read_metadata(path), half=True)
    assert copy.stat().st_size < 0.52 * path.stat().st_size
    # Another network, which says which one it was.
    was = digest_of_tensors(original.state_dict())
    assert read_metadata(copy) == {"trial": "baseline", "rounded_from_network_sha256": was}
    load_weights(other, copy)
    assert digest_of_file(copy) == digest_of_tensors(other.state_dict()) != was == digest_of_file(path)
    assert torch.allclose(other.weight, original.weight, rtol=2**-11, atol=2**-25)
    assert not torch.equal(other.weight, original.weight)


def test_layers_absent_from_the_file_stay_fresh(tmp_path: Path) -> None:
    path, bigger = tmp_path / "weights.safetensors", model().append(nn.Linear(3, 2))
    fresh = bigger[3].weight.clone()
    save_weights(path, model(), {})
    report = load_weights(bigger, path)
    assert report.missing == ("3.bias", "3.weight")
    assert torch.equal(bigger[3].weight, fresh)
    assert "2 fresh, absent from the file (3.bias, 3.weight)" in report.summary()
    with pytest.raises(CheckpointError, match=r"3\.bias: expected shape \(2,\), found nothing \(and 1 more\)"):
        load_weights(bigger, path, allow_missing=False)


def test_another_shape_is_refused_with_both_shapes_or_left_fresh(tmp_path: Path) -> None:
    path, other = tmp_path / "weights.safetensors", model(outputs=7)
    fresh, stem = other[2].weight.clone(), model()
    save_weights(path, stem, {})
    with pytest.raises(CheckpointError) as caught:
        load_weights(other, path)
    assert f"{path}: 2.bias: expected shape (7,), found (3,) (and 1 more)" in one_line(caught)
    report = load_weights(other, path, allow_mismatch=True)
    assert report.mismatched == ("2.bias", "2.weight")
    assert torch.equal(other[2].weight, fresh)
    assert torch.equal(other[0].weight, stem[0].weight)


def test_unknown_tensors_are_refused_or_ignored(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(path, model().append(nn.Linear(3, 2)), {})
    with pytest.raises(CheckpointError) as caught:
        load_weights(model(), path)
    assert "3.bias: the model has no such tensor (and 1 more)" in one_line(caught)
    assert load_weights(model(), path, allow_mismatch=True).unexpected == ("3.bias", "3.weight")
    save_weights(path, model().append(nn.Linear(3, 2)), {"trial": "baseline", "profile": "laptop"})
    with pytest.raises(CheckpointError) as caught:
        load_weights(model(), path)
    assert f"{path} (of baseline, profile laptop): 3.bias: the model has no such tensor" in one_line(caught)


def test_a_refused_file_changes_nothing(tmp_path: Path) -> None:
    path, other = tmp_path / "weights.safetensors", model(outputs=7)
    before = {key: value.clone() for key, value in other.state_dict().items()}
    save_weights(path, model(), {})
    with pytest.raises(CheckpointError):
        load_weights(other, path)
    assert all(torch.equal(before[key], value) for key, value in other.state_dict().items())


def test_a_file_of_another_model_altogether_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"encoder.weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError) as caught:
        load_weights(model(), path, allow_mismatch=True)
    assert "no tensor fits" in one_line(caught) and "encoder.weight" in one_line(caught)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"model": s, "iteration": 3}, lambda s: {"state_dict": s}])
def test_torch_files_serve_as_initial_weights(tmp_path: Path, wrap) -> None:
    path, original, other = tmp_path / "weights.pth", model(), model()
    torch.save(wrap(original.state_dict()), path)
    load_weights(other, path)
    assert torch.equal(other[0].weight, original[0].weight)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04" + bytes(40)])
def test_damaged_files_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load_weights(model(), path)
    assert str(path) in one_line(caught)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_cut_short_or_changed_anywhere_is_refused_or_read(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "w.pth"
    content = {"meta": {"CLASSES": ("a", "b")}, "state_dict": model().state_dict()}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    whole, numbers = path.read_bytes(), random.Random(0)
    broken = [whole[:end] for end in range(0, len(whole) - 1, 29)]
    for _ in range(200):
        at = numbers.randrange(len(whole))
        broken.append(whole[:at] + bytes([numbers.randrange(256)]) + whole[at + 1 :])
    refused = 0
    for changed in broken:
        path.write_bytes(changed)
        try:
            read_metadata(path)
            read_tensors(path)
        except CheckpointError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error)
    assert refused >= len(whole) // 29  # all that were cut short at least


@pytest.mark.parametrize("content", [{3: torch.zeros(1)}, {"a": 1}, [torch.zeros(1)], torch.zeros(1)])
def test_a_torch_file_of_something_else_is_no_checkpoint(tmp_path: Path, content: object) -> None:
    path = tmp_path / "w.pth"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        read_tensors(path)


def test_a_torch_file_in_mmdetections_form_keeps_tensors_and_category_names(tmp_path: Path) -> None:
    path, tensors = tmp_path / "w.pth", model().state_dict()
    save_torch_file(path, tensors, {"trial": "baseline", "CLASSES": ("dog", "cat")})
    assert all(torch.equal(value, tensors[name]) for name, value in read_tensors(path).items())
    assert read_metadata(path) == {"category_names": '["dog", "cat"]'}
    # A zip archive would begin with PK: the programs that read this form cannot open one.
    assert not path.read_bytes().startswith(b"PK")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_broken_numbers_are_refused(tmp_path: Path, value: float) -> None:
    path, original, other = tmp_path / "weights.safetensors", model(), model()
    before = other[2].weight.clone()
    original.state_dict()["0.bias"][1] = value
    save_weights(path, original, {})
    with pytest.raises(CheckpointError, match="weights.safetensors: 0.bias: expected finite numbers"):
        load_weights(other, path)
    assert torch.equal(other[2].weight, before)


@pytest.mark.parametrize("name", ["absent.safetensors", "absent.pt"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        load_weights(model(), tmp_path / name)


class Exploit:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_with_code_is_not_run(tmp_path: Path, zipped: bool) -> None:
    path, trace = tmp_path / "weights.pt", tmp_path / "trace"
    torch.save({"weight": Exploit(trace)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError) as caught:
        load_weights(model(), path)
    assert not trace.exists()
    # The same file does run its code where somebody trusts it.
    torch.load(path, weights_only=False)
    assert trace.exists()
    # Torch's own message advises to load the file regardless.
    assert "weights_only" not in one_line(caught)
