"""From the names of a device and a precision to a Fabric that runs on them."""

import logging
from datetime import timedelta
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import DoublePrecision, MixedPrecision, Precision
from lightning_fabric.plugins.environments import LightningEnvironment
from lightning_fabric.strategies import DDPStrategy

from vistrials.errors import SpecError

# Others wait for rank 0 while it scores a split; torch gives up after 10 to 30 minutes.
_LONGEST_WAIT = timedelta(days=1)


class FullPrecisionInputs(MixedPrecision):
    """Mixed precision that leaves the batch alone: a box rounded to 16 bits would be off by whole pixels."""

    def convert_input(self, data: Any) -> Any:
        return data


class FullDoublePrecision(DoublePrecision):
    """Double precision that does not round losses to 32 bits on their way out."""

    def convert_output(self, data: Any) -> Any:
        return data


def choose_device(name: str) -> torch.device:
    """The device of a name; `auto` is the GPU where there is one, else the CPU.

    Raises:
        SpecError: no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise SpecError(f"device {name!r}: expected auto, cpu, cuda, cuda:N or mps") from None
    present = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (device.index or 0) >= present.get(device.type, 0):
        raise SpecError(
            f"device {name!r}: this machine has {present.get(device.type, 0)} of kind {device.type}; use --device auto"
        )
    return device


def each_of(device: torch.device, num_devices: int) -> list[torch.device]:
    """The GPUs that predict side by side; of others there is one."""
    if device.type != "cuda" or num_devices == 1:
        return [device]
    return [torch.device("cuda", index) for index in range(num_devices)]


def build_fabric(device: torch.device, precision: str, num_devices: int = 1) -> Fabric:
    """Fabric for one process on `device`, or for `num_devices` spawned processes of that kind.

    Args:
        device: for one process, the device itself; for several, their kind (an index is refused).
        precision: of `TrainSpec`.
        num_devices: processes, each with a device of its own (on the CPU: sharing it).

    Raises:
        SpecError: too few devices, or a precision that the device does not have.
    """
    if precision == "16-mixed" and device.type == "cpu":
        raise SpecError("train.precision: 16-mixed needs a GPU, found device cpu; use 32-true or bf16-mixed")
    if precision == "64-true" and device.type == "mps":
        raise SpecError("train.precision: 64-true is not available on device mps; use 32-true")
    if num_devices > 1 and device.index is not None:
        raise SpecError(f"device {device}: {num_devices} devices asked for, but one named; use --device {device.type}")
    if device.type == "cuda" and num_devices > torch.cuda.device_count():
        raise SpecError(f"{num_devices} devices asked for, but this machine has {torch.cuda.device_count()} GPUs")
    if device.type == "mps" and num_devices > 1:
        raise SpecError(f"{num_devices} devices asked for, but mps is a single one")
    flush_denormals()
    _be_quiet()
    return Fabric(
        accelerator=device.type,
        devices=num_devices if num_devices > 1 or device.index is None or device.type == "cpu" else [device.index],
        strategy=_strategy(num_devices),
        # Processes are started here and by nobody else: without it Fabric looks for Slurm, remarks that `srun` is not
        # used, and within a job takes the numbers of processes from there.
        plugins=[_precision_plugin(precision, device), LightningEnvironment()],
    )


def inference_autocast(precision: str, device: torch.device) -> torch.autocast:
    """The context in which inference runs under a precision of `InferenceSpec`.

    Raises:
        SpecError: the device does not have it.
    """
    if precision == "16-mixed" and device.type == "cpu":
        raise SpecError("inference.precision: 16-mixed needs a GPU, found device cpu; use 32-true or bf16-mixed")
    dtype = torch.float16 if precision == "16-mixed" else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=precision != "32-true")


def flush_denormals() -> None:
    """Make this process, and the threads it starts from now on, round denormal numbers to 0.

    Tiny gradients decay into them, and on the CPU a fused AdamW step of the demo network was seen to take
    0.67 s on them instead of 0.007 s.
    """
    torch.set_flush_denormal(True)


def _be_quiet() -> None:
    """Fabric's notes on devices and processes say nothing that provenance.json does not."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)


class _QuietDDP(DDPStrategy):
    """Does not announce itself in the processes that it is sent to either."""

    def setup_environment(self) -> None:
        _be_quiet()
        super().setup_environment()


def _strategy(num_devices: int) -> str | DDPStrategy:
    if num_devices == 1:
        return "auto"
    # A head without work on one rank (no positive anywhere) may leave its parameters out of the graph there.
    return _QuietDDP(start_method="spawn", find_unused_parameters=True, timeout=_LONGEST_WAIT)


def _precision_plugin(precision: str, device: torch.device) -> Precision:
    if precision == "32-true":
        return Precision()
    if precision == "64-true":
        return FullDoublePrecision()
    return FullPrecisionInputs(precision, device.type)  # type: ignore[arg-type]
