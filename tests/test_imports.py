"""Rooms import only from rows below their own, siblings never from each other, and some know no torch."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "vistrials"

# From top to bottom; the rooms of a row are siblings.
ROWS = [
    {"__main__"},
    {"cli"},
    {"commands", "api"},
    {"until_decided", "cluster"},
    {"study"},
    {"pipeline", "finished_runs", "own_video"},
    {"stages"},
    {"engine", "reports"},
    {"tracking"},
    {"weights"},
    {"data", "models", "runs", "evaluation"},
    {"video_files"},
    {"formats", "user_modules"},
    {"structures"},
    {"specs", "geometry"},
    {"errors", "machine", "freed_memory"},
]
ROW_OF = {room: row for row, rooms in enumerate(ROWS) for room in rooms}
NO_TORCH = {"specs", "formats", "video_files", "evaluation", "reports", "errors"}
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(path: Path) -> Iterator[str]:
    """Every module that a file imports, at its top or inside a function, as a dotted name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            yield module
            if module == "vistrials":
                yield from (f"vistrials.{alias.name}" for alias in node.names)


def violations(room: str, modules: Iterator[str]) -> list[str]:
    found = []
    for module in modules:
        parts = module.split(".")
        if parts[0] in ("torch", "torchvision") and room in NO_TORCH:
            found.append(module)
        if parts[0] != "vistrials" or len(parts) < 2 or parts[1] not in ROW_OF or parts[1] == room:
            continue
        if ROW_OF[parts[1]] <= ROW_OF[room]:
            found.append(module)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_from_below(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return  # what it imports, and when, is tested below
    assert room in ROW_OF, f"{path}: a new room needs a row"
    assert violations(room, imported_modules(path)) == []


@pytest.mark.parametrize(
    ("room", "module", "allowed"),
    [
        ("engine", "vistrials.tracking.online", True),
        ("models", "vistrials.data.loading", False),
        ("data", "vistrials.engine.training", False),
        ("engine", "vistrials.reports.table", False),
        ("specs", "torch.nn", False),
        ("models", "torch.nn", True),
        ("commands", "vistrials.commands.display", True),
        ("formats", "vistrials.data.loading", False),
    ],
)
def test_the_rule_tells_right_from_wrong(room: str, module: str, allowed: bool) -> None:
    assert (violations(room, iter([module])) == []) is allowed


def test_only_the_command_line_prints() -> None:
    printing = [
        str(path.relative_to(PACKAGE))
        for path in FILES
        if room_of(path) not in ("cli", "commands")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert printing == []


def test_importing_the_package_imports_nothing_but_itself() -> None:
    standard = "{*before, *sys.stdlib_module_names}"
    third = f"[m for m in sys.modules if m.split('.')[0] not in {standard}]"
    code = f"import sys; before = set(sys.modules); import vistrials; print({third})"
    assert run_python(code) == "['vistrials']\n"


@pytest.mark.parametrize(
    "module",
    ["vistrials.cli", "vistrials.specs.loading", "vistrials.evaluation.youtube_vis", "vistrials.errors"],
)
def test_importing_does_not_bring_torch_or_pandas(module: str) -> None:
    assert run_python(f"import sys, {module}; print([m for m in ('torch', 'pandas') if m in sys.modules])") == "[]\n"


def test_threads_of_the_evaluation_need_not_import_numpy_parts() -> None:
    code = "import sys, numpy; before = 'numpy.ma' in sys.modules; import vistrials.evaluation.youtube_vis"
    assert run_python(f"{code}; print(before, 'numpy.ma' in sys.modules)") == "False True\n"


def run_python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=True
    ).stdout
