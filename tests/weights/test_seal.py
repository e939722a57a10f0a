"""The digest inside a file of weights."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.weights.test_files import model, one_line
from vistrials.errors import CheckpointError
from vistrials.weights.files import read_metadata, read_tensors, save_weights
from vistrials.weights.seal import KEY, check_seal


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_weights(path, model(), {"trial": "baseline", "note": f'"{KEY}":"{"0" * 64}"'})
    return path


def test_a_flipped_bit_is_noticed_or_harmless(weights: Path) -> None:
    whole, tensors = weights.read_bytes(), read_tensors(weights)
    key = whole.index(f'"{KEY}":'.encode())
    noticed, harmless = 0, []
    for number, place in enumerate(sorted({*range(0, len(whole), 7), *range(key, key + len(KEY) + 80)})):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << number % 8
        weights.write_bytes(damaged)
        try:
            found = read_tensors(weights)
        except CheckpointError:
            noticed += 1
            with pytest.raises(CheckpointError) as caught:
                read_metadata(weights)
            assert str(weights) in one_line(caught)
        else:
            harmless.append(place)
            assert found.keys() == tensors.keys()
            assert all(torch.equal(found[name], value) for name, value in tensors.items())
    # Where the key itself is hit the file is one without a digest, but otherwise whole.
    assert noticed > 100
    assert set(harmless) <= set(range(key, key + len(KEY) + 4))


def test_the_digest_is_no_part_of_what_goes_along(weights: Path) -> None:
    assert read_metadata(weights) == {"trial": "baseline", "note": f'"{KEY}":"{"0" * 64}"'}


def test_files_without_a_digest_pass(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file(model().state_dict(), path, {"format": "pt"})
    check_seal(path)
    assert read_metadata(path) == {"format": "pt"}


def test_a_longer_file_is_refused(weights: Path) -> None:
    with open(weights, "ab") as file:
        file.write(b"\0")
    with pytest.raises(CheckpointError, match="damaged"):
        check_seal(weights)
