"""What a result came from: code, machine, data, initial weights, and the time and memory of each stage.

Written to provenance.json, which is meant to be published: no host name, and no paths but those in overrides.
"""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import vistrials
from vistrials.errors import DataError, RunError
from vistrials.formats.files import sha256_of
from vistrials.formats.json_file import load_json, save_json_atomic
from vistrials.machine import num_cores

_PACKAGES = ("torch", "torchvision", "numpy", "lightning-fabric", "pydantic", "safetensors", "pillow", "pycocotools")
_SECTIONS = ("data", "stages", "environment", "initial_weights")
_THREAD_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
_PACKAGE_DIR = Path(vistrials.__file__).resolve().parent


def update_provenance(path: Path, **sections: Any) -> dict[str, Any]:
    """Add sections to a provenance file, made where it is missing; dictionaries are merged one level deep."""
    content = read_provenance(path)
    for name, value in sections.items():
        old = content.get(name)
        content[name] = old | value if isinstance(value, dict) and isinstance(old, dict) else value
    save_json_atomic(path, content, indent=2)
    return content


def read_provenance(path: Path) -> dict[str, Any]:
    """A provenance file; empty where there is none.

    Raises:
        RunError: it is damaged.
    """
    cure = "put it back, or redo the run with --force"
    try:
        content = load_json(path) if path.exists() else {}
    except DataError as error:
        raise RunError(f"{error}; {cure}") from None
    if not isinstance(content, dict):
        raise RunError(f"{path}: expected an object, found a {type(content).__name__}: the file is damaged; {cure}")
    sections = {name: content.get(name, {}) for name in _SECTIONS}
    sections |= {f"{name}/{key}": value for name in ("data", "stages") for key, value in _items(sections[name])}
    for name, value in sections.items():
        if not isinstance(value, dict):
            raise RunError(
                f"{path}: {name}: expected an object, found a {type(value).__name__}: the file is damaged; {cure}"
            )
    return content


def _items(section: Any) -> list[tuple[str, Any]]:
    return list(section.items()) if isinstance(section, dict) else []


def record_data(path: Path, split: str, annotations: Path) -> str:
    """Note which annotations a split of this run has; the same ones must come every time.

    Returns:
        SHA-256 of the annotation file.

    Raises:
        RunError: the run has seen other ones.
    """
    digest = sha256_of(annotations)
    recorded = read_provenance(path).get("data", {}).get(split, {}).get("sha256", digest)
    if recorded != digest:
        raise RunError(
            f"{path.parent}: annotations of split {split} have changed (sha256 {recorded[:12]} recorded, "
            f"{digest[:12]} found): redo the run with --force, or choose another folder with --results"
        )
    update_provenance(path, data={split: {"annotations": annotations.name, "sha256": digest}})
    return digest


@contextmanager
def record_stage(path: Path, name: str, device: str, *, goes_on: bool) -> Iterator[dict[str, Any]]:
    """Note times and memory of a stage, also of one that is broken off; going on adds to its seconds.

    The record comes before the file that says that the stage is done, so that no kill leaves the one without the other.

    Args:
        path: of provenance.json.
        name: of the stage, such as train or infer/minival.
        device: name of the device, as `describe_device` gives it.
        goes_on: whether something is there of what an earlier call of this stage has done.

    Yields:
        A dictionary for further entries.
    """
    environment = describe_environment()
    content = read_provenance(path)
    before = content.get("stages", {}).get(name, {}) if goes_on else {}
    entry: dict[str, Any] = {
        "device": device,
        "started": before.get("started", _now()),
        "finished": None,
        "seconds": before.get("seconds", 0.0),
        "calls": before.get("calls", 0) + 1,
    }
    if content.setdefault("environment", environment) != environment:
        entry["environment"] = environment  # other code or another machine than the first stage had
    # Now and not only at the end: of a process that is killed this is all that is known.
    update_provenance(path, environment=content["environment"], stages={name: {**before, **entry}})
    reset_peak_memory()
    began = time.perf_counter()
    more: dict[str, Any] = {}
    try:
        yield more
        entry["finished"] = _now()
    finally:
        entry["seconds"] = round(entry["seconds"] + time.perf_counter() - began, 3)
        peak = max(before.get("peak_memory_mib", 0), peak_memory_mib())
        update_provenance(
            path, environment=content["environment"], stages={name: entry | {"peak_memory_mib": peak} | more}
        )


def describe_threads(path: Path, stage: str) -> str | None:
    """Where a stage goes on with another number of threads than it had, a line that says so; None otherwise."""
    content, now = read_provenance(path), _describe_arithmetic()["threads"]
    entry = content.get("stages", {}).get(stage)
    if entry is None:
        return None
    before = {**content.get("environment", {}), **entry.get("environment", {})}.get("threads", now)
    if before == now:
        return None
    return (
        f"goes on with {now} threads where it had {before}: sums are rounded in another order, so the result may "
        f"differ from that of one number; OMP_NUM_THREADS={before} keeps it"
    )


def describe_environment() -> dict[str, Any]:
    """Code, libraries, machine, and how it computes."""
    return {
        "vistrials": vistrials.__version__,
        **_describe_checkout(),
        "python": platform.python_version(),
        "packages": {name: _installed(name) for name in _PACKAGES},
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_name(),
        "cpu_count": num_cores(),
        **_describe_arithmetic(),
    }


def _describe_arithmetic() -> dict[str, Any]:
    """What speed, and the last digits of figures, depend on: build of PyTorch, instructions and threads of the CPU."""
    import torch

    return {
        "torch_build": {"git": torch.version.git_version, "cuda": torch.version.cuda},
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "thread_waiting": {name: os.environ[name] for name in _THREAD_WAITING if name in os.environ},
    }


def describe_device(device: str, num_devices: int = 1) -> str:
    """The product behind a device's name (`cuda`, `cpu`, ...), and how many of them."""
    import torch

    kind = torch.device(device)
    if kind.type == "cuda":
        name = f"{torch.cuda.get_device_name(kind)} (CUDA {torch.version.cuda})"
    else:
        name = f"{kind.type} ({_cpu_name()})"
    return name if num_devices == 1 else f"{num_devices} x {name}"


def reset_peak_memory() -> None:
    """Let the peak of `peak_memory_mib` start anew, where the system can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mib() -> int:
    """Most resident memory of this process since the last reset, or of its largest child; 0 where unknown."""
    try:
        import resource
    except ImportError:
        return 0
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        own = int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
        return round(max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 2**10)
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))


def _describe_checkout() -> dict[str, Any]:
    """Commit of the checkout that the package lies in, and whether it was changed; null if installed."""
    unknown = {"commit": None, "dirty": None}
    if not (_PACKAGE_DIR.parent / ".git").exists():
        return unknown
    try:
        commit = _git("rev-parse", "HEAD")
        # Results lie in the checkout too; they are no change of the code.
        return {"commit": commit, "dirty": bool(_git("status", "--porcelain", "--", "vistrials", "trials"))}
    except (OSError, subprocess.SubprocessError):
        return unknown


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(_PACKAGE_DIR.parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
