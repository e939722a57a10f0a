"""All trials of a study, one after the other; one that fails does not stop the others."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from vistrials import pipeline
from vistrials.engine.devices import choose_device
from vistrials.engine.interruption import Interrupted
from vistrials.engine.reporting import Reporter, SilentReporter
from vistrials.errors import RunError, VistrialsError
from vistrials.specs.trial import TrialSpec


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that did not come to its end, and why, in one line."""

    trial: str
    seed: int
    reason: str


def run_all(
    specs: Sequence[TrialSpec],
    results_dir: Path | str = "results",
    seeds: Sequence[int] = (0,),
    *,
    device: str = "auto",
    overrides: Sequence[str] = (),
    open_reporter: Callable[[], AbstractContextManager[Reporter]] = lambda: nullcontext(SilentReporter()),
) -> list[Failure]:
    """Bring trials to their end, each after the one that it starts from; all with one seed before the next seed.

    Args:
        specs: the resolved trials.
        results_dir: the runs live in results_dir/<profile>/<trial>/seed<N>/; what is done there rests.
        seeds: of the runs.
        device: as in `pipeline.run`.
        overrides: those that went into all specs.
        open_reporter: gives the reporter of a run.

    Returns:
        The runs that failed or were skipped because their start did.

    Raises:
        SpecError: there is no such device.
        Interrupted: stopped by a signal; the same call goes on from there.
    """
    choose_device(device)
    runs = [(spec, seed) for seed in seeds for spec in in_dependency_order(specs)]
    by_name = {spec.name: spec for spec in specs}
    failures: dict[tuple[str, int], Failure] = {}
    for number, (spec, seed) in enumerate(runs, 1):
        try:
            with open_reporter() as reporter:
                reporter.message(f"{number}/{len(runs)} {spec.name} seed {seed}")
                start = _start_of(spec)
                if (start, seed) in failures:
                    raise RunError(f"skipped, because {start}, from which it starts, is not done")
                pipeline.run(
                    spec, results_dir, seed, device=device, overrides=overrides, starts=by_name, reporter=reporter
                )
        except Interrupted:
            raise
        except Exception as error:  # whatever breaks one trial, the others may still come to their end
            failures[spec.name, seed] = Failure(spec.name, seed, _one_line(error))
            reporter.warning(f"{spec.name} seed {seed}: {_one_line(error)}")
    return list(failures.values())


def in_dependency_order(specs: Sequence[TrialSpec]) -> list[TrialSpec]:
    """The same specs, each after the one among them that it starts from, otherwise as they come."""
    by_name = {spec.name: spec for spec in specs}
    ordered: dict[str, TrialSpec] = {}
    for spec in specs:
        chain = [spec]
        while (start := by_name.get(_start_of(chain[-1]) or "")) is not None and start not in chain:
            chain.append(start)
        for member in reversed(chain):
            ordered.setdefault(member.name, member)
    return list(ordered.values())


def _start_of(spec: TrialSpec) -> str | None:
    return spec.init.from_trial if spec.init.weights is None else None


def _one_line(error: Exception) -> str:
    """A message for the user as it is; of a crash its kind and first line."""
    if isinstance(error, VistrialsError):
        return str(error)
    return f"{type(error).__name__}: {error}".splitlines()[0]
