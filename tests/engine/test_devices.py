import pytest
import torch

from vistrials.engine.devices import build_fabric, choose_device, inference_autocast
from vistrials.errors import SpecError

CPU = torch.device("cpu")


def test_auto_takes_what_is_there() -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == CPU


@pytest.mark.parametrize("name", ["gpu", "cuda:99", ""])
def test_a_device_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(SpecError, match="device"):
        choose_device(name)


def test_half_precision_needs_a_gpu() -> None:
    with pytest.raises(SpecError, match="16-mixed needs a GPU"):
        build_fabric(CPU, "16-mixed")


def test_one_named_gpu_cannot_be_several() -> None:
    with pytest.raises(SpecError, match="one named"):
        build_fabric(torch.device("cuda:0"), "32-true", num_devices=2)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "64-true"])
def test_fabric_runs_on_the_device(precision: str) -> None:
    fabric = build_fabric(CPU, precision)
    assert (fabric.device, fabric.world_size, fabric.is_global_zero) == (CPU, 1, True)


def test_inference_in_mixed_precision_or_not() -> None:
    weights, cpu = torch.randn(2, 2), torch.device("cpu")
    for precision, expected in (("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)):
        with inference_autocast(precision, cpu):
            assert (weights @ weights).dtype == expected
    with pytest.raises(SpecError, match="16-mixed needs a GPU, found device cpu"):
        inference_autocast("16-mixed", cpu)
