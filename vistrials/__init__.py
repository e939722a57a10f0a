"""vistrials: reproducible trials of video instance segmentation.

What notebooks and scripts need, each imported when it is first used:

- `load_trial`: a trial's settings; `run`: train, infer and evaluate it.
- `evaluate`, `diagnose`: score and explain predictions, of this or any other program.
- `compare`: Table 1; `load_results`, `load_category_results`, `load_losses`, `load_statistics`: what runs and data sets
  hold, as pandas DataFrames.
- `VistrialsError`: what all of them raise where you can mend something, in one line.
"""

TYPE_CHECKING = False  # type checkers take it for true; importing typing for it would take most of the time
if TYPE_CHECKING:
    from vistrials.api import compare, diagnose, evaluate, load_statistics, run
    from vistrials.errors import VistrialsError
    from vistrials.reports.run_frames import load_category_results, load_losses, load_results
    from vistrials.specs.loading import load_trial

__version__ = "0.1.0"

__all__ = [
    "VistrialsError",
    "compare",
    "diagnose",
    "evaluate",
    "load_category_results",
    "load_losses",
    "load_results",
    "load_statistics",
    "load_trial",
    "run",
]

_PLACES = {
    "vistrials.api": ("compare", "diagnose", "evaluate", "load_statistics", "run"),
    "vistrials.errors": ("VistrialsError",),
    "vistrials.reports.run_frames": ("load_category_results", "load_losses", "load_results"),
    "vistrials.specs.loading": ("load_trial",),
}


if not TYPE_CHECKING:  # which would then let any name pass

    def __getattr__(name: str) -> object:
        from importlib import import_module

        for module, names in _PLACES.items():
            if name in names:
                return getattr(import_module(module), name)
        raise AttributeError(f"module 'vistrials' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
