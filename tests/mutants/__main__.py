"""Plant deliberate bugs, one at a time, and see whether the tests notice.

Run: make mutants, or python -m tests.mutants [WORD ...] for those whose name or file holds a word.
Each bug of the YAML files beside this one goes into a copy of the checkout that has nothing beside it, and the tests
that it names run there. Prints killed or survived for each; exits 1 where one survives.

A list rather than a tool that changes every operator (cosmic-ray, mutmut): these bugs are ones that people make in such
a program, each with the tests that should notice, and all of them take minutes rather than days.
"""

import compileall
import importlib
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from py_compile import PycInvalidationMode

from tests.mutants.listed import ROOT, Mutant, load_mutants

COPIED = ("vistrials", "tests", "trials", "docs", "pyproject.toml")
LIBRARIES = (
    *("hypothesis.extra.numpy", "lightning_fabric", "matplotlib.figure", "numba", "pycocotools.mask", "pydantic"),
    *("pytest", "scipy.optimize", "torch.utils.tensorboard", "torchvision", "typer.testing"),
)


def main(words: list[str]) -> int:
    """Apply the bugs that a word names, all without; the exit code."""
    chosen = [m for m in load_mutants() if not words or any(word in f"{m.bug} {m.file}" for word in words)]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "checkout"
        copy.mkdir()
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy / name)
        # By the hash of the source, since a bug may leave a file as long as it was, and within the same second.
        compileall.compile_dir(copy, quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
        _load_libraries(copy)
        if (code := _run_tests(sorted({test for mutant in chosen for test in mutant.tests}))) != 0:
            print(f"the tests fail without any bug (exit code {code}): mend them first")
            return 1
        began, survived = time.monotonic(), []
        for mutant in chosen:
            killed = _is_killed(mutant, copy)
            print(f"{'killed' if killed else 'SURVIVED'}  {mutant.file}: {mutant.bug}", flush=True)
            survived += [] if killed else [mutant.bug]
    print(f"{len(chosen) - len(survived)} of {len(chosen)} killed in {time.monotonic() - began:.0f} s")
    return 1 if survived else 0


def _is_killed(mutant: Mutant, copy: Path) -> bool:
    path = copy / mutant.file
    text = path.read_text(encoding="utf-8")
    path.write_text(mutant.applied(text), encoding="utf-8")
    try:
        return _run_tests(mutant.tests) == 1  # a failed test; other codes are faults of the run
    finally:
        path.write_text(text, encoding="utf-8")


def _load_libraries(copy: Path) -> None:
    """Import once what takes seconds, so that each bug costs the time of its tests alone; the package comes later."""
    sys.path[:] = [str(copy), *(entry for entry in sys.path if Path(entry or ".").resolve() != ROOT)]
    for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "vistrials")]:
        del sys.modules[name]
    os.chdir(copy)
    for name in LIBRARIES:
        importlib.import_module(name)


def _run_tests(tests: list[str] | tuple[str, ...]) -> int:
    """Exit code of pytest in a process of its own, which sees the copy as it is now."""
    process = multiprocessing.get_context("fork").Process(target=_pytest, args=(list(tests),))
    process.start()
    process.join()
    return process.exitcode or 0


def _pytest(tests: list[str]) -> None:
    import pytest

    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    os._exit(int(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *(f"tests/{test}" for test in tests)])))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
