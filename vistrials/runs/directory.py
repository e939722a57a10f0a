"""The folder of one run, results/<profile>/<trial>/seed<N>/: the only owner of file names.

What is done follows from which files are there; each is written whole or not at all.
"""

import hashlib
import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from vistrials.errors import DataError, RunError, SpecError
from vistrials.formats.files import replacing, sha256_of, unfinished_files
from vistrials.formats.json_file import load_json
from vistrials.runs.provenance import read_provenance
from vistrials.runs.recorded_spec import RecordedSpec, read_recorded_spec, read_whole_spec
from vistrials.specs.custom import FOLDER as MODULES
from vistrials.specs.custom import change_custom_parts, custom_parts
from vistrials.specs.loading import DEFAULT_PROFILE, dump_spec, load_trial, trial_differences
from vistrials.specs.trial import TrialSpec
from vistrials.specs.truths import TRUTHS, Truth, scored_name

# Where data lie, how fast things go and what else is scored, not what comes out. Data are checked by digest.
_WITHOUT_EFFECT = frozenset(
    {"data.source.root", "data.truths", "train.num_workers", "train.cache_frames", "train.checkpoint_every_iters"}
)
_DIFFERENCES_SHOWN = 3
# The file outlives the run's process: a colleague who may write in the folder may lock it too.
_LOCK_MODE = 0o664
_LOOKS_SECONDS = 0.2
"""How often a process that waits for a run looks whether it is free."""


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """Paths of one run. Files of `main_split` carry no suffix: metrics.json, but metrics-occlusion.json."""

    results_dir: Path
    profile: str
    trial: str
    seed: int
    main_split: str

    @classmethod
    def for_spec(cls, spec: TrialSpec, results_dir: Path | str, seed: int) -> Self:
        """The run of a spec and a seed.

        Raises:
            SpecError: the seed is negative.
        """
        if seed < 0:
            raise SpecError(f"seed: expected 0 or more, found {seed}")
        return cls(Path(results_dir), spec.profile, spec.name, seed, spec.data.splits[0])

    @classmethod
    def open(cls, path: Path | str) -> tuple[Self, TrialSpec]:
        """A run found by its folder, and the spec that is recorded there.

        Raises:
            RunError: the folder holds no run, has other names than its spec, or this version cannot read all of that.
        """
        directory, _ = cls.find(path)
        return directory, read_whole_spec(directory.spec)

    @classmethod
    def find(cls, path: Path | str) -> tuple[Self, RecordedSpec]:
        """As `open`, for readers of figures and losses: some setting may be unknown to this version.

        Raises:
            RunError: the folder holds no run, or has other names than its spec.
        """
        path = Path(path).resolve()
        if not (path / "spec.yaml").exists():
            raise RunError(
                f"{path}: no run here (there is no spec.yaml); expected the folder "
                "<profile>/<trial>/seed<N> of one; `vistrials run TRIAL` makes it"
            )
        recorded, seed = read_recorded_spec(path / "spec.yaml"), path.name.removeprefix("seed")
        if seed.isdecimal():
            results_dir = path.parent.parent.parent
            directory = cls(results_dir, recorded.profile, recorded.name, int(seed), recorded.splits[0])
            if directory.path == path:
                return directory, recorded
        raise RunError(
            f"{path}: expected a folder {recorded.profile}/{recorded.name}/seed<N>, as its spec.yaml says; rename it so"
        )

    @property
    def path(self) -> Path:
        return self.results_dir / self.profile / self.trial / f"seed{self.seed}"

    @property
    def spec(self) -> Path:
        return self.path / "spec.yaml"

    @property
    def provenance(self) -> Path:
        return self.path / "provenance.json"

    @property
    def activity(self) -> Path:
        """What the run is doing, or why it did not come to its end; see `runs.activity`."""
        return self.path / ".activity.json"

    @property
    def log(self) -> Path:
        """What a run without a terminal has said."""
        return self.path / "log.txt"

    @property
    def modules(self) -> Path:
        """Copies of the files that custom parts of the network come from."""
        return self.path / MODULES

    @property
    def losses(self) -> Path:
        return self.path / "losses.jsonl"

    @property
    def validation(self) -> Path:
        """Figures of the validations made in training."""
        return self.path / "validation.jsonl"

    @property
    def validation_predictions(self) -> Path:
        """Predictions of a validation, while it is made."""
        return self.path / "validation-predictions.json"

    @property
    def partial_validation_predictions(self) -> Path:
        """Predictions of the videos that a validation has finished so far."""
        return self.path / "validation-predictions.partial.jsonl"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.pt"

    @property
    def previous_checkpoint(self) -> Path:
        """The one before, should the last be damaged."""
        return self.path / "checkpoint-previous.pt"

    @property
    def weights(self) -> Path:
        """What the run predicts with: the weights of the last iteration, or the best ones of its validations."""
        return self.path / "weights.safetensors"

    @property
    def best_weights(self) -> Path:
        """While a training with validations goes on, the best weights so far; at its end they become `weights`."""
        return self.path / "weights-best.safetensors"

    @property
    def last_weights(self) -> Path:
        """Of a training with validations, the weights of the last iteration; of another until its end is recorded."""
        return self.path / "weights-last.safetensors"

    def predictions(self, split: str | None = None) -> Path:
        """Predictions of a split, the main one by default."""
        return self.path / f"predictions{self._suffix(split)}.json"

    def partial_predictions(self, split: str | None = None) -> Path:
        """Predictions of the videos finished so far."""
        return self.path / f"predictions{self._suffix(split)}.partial.jsonl"

    def metrics(self, split: str | None = None) -> Path:
        """Figures of a split, the main one by default; those against whole objects by `truths.scored_name`."""
        return self.path / f"metrics{self._suffix(split)}.json"

    def matches(self, split: str | None = None) -> Path:
        """Which prediction of a split finds which object, the main split by default: what its figures come from."""
        return self.path / f"matches{self._suffix(split)}.json.gz"

    def _suffix(self, split: str | None) -> str:
        return "" if split in (None, self.main_split) else f"-{split}"

    def is_trained(self) -> bool:
        """Whether the final weights are here."""
        return self.weights.exists()

    def has_checkpoint(self) -> bool:
        """Whether there is a state that a training continues from."""
        return self.checkpoint.exists() or self.previous_checkpoint.exists()

    def is_inferred(self, split: str) -> bool:
        """Whether all predictions of a split are here."""
        return self.predictions(split).exists()

    def is_evaluated(self, split: str) -> bool:
        """Whether the figures of a split are here."""
        return self.metrics(split).exists()

    def unscored(self, spec: TrialSpec, split: str) -> list[Truth]:
        """Of the truths that a spec names those against which a split has no figures yet."""
        return [truth for truth in spec.data.truths if not self.is_evaluated(scored_name(split, truth))]

    def is_complete(self, spec: TrialSpec) -> bool:
        """Whether the figures of all splits are here, against all truths."""
        return not any(self.unscored(spec, split) for split in spec.data.splits)

    def check_there(self) -> None:
        """Refuse to work on a run that nobody has begun.

        Raises:
            RunError: naming the command that makes it.
        """
        if not self.spec.exists():
            raise RunError(f"{self.path}: no such run yet; `{self.command('run')}` makes it")

    def find_split(self, spec: TrialSpec, split: str | None, annotations: Path | None = None) -> str:
        """A split of the run by its name; by default the one whose annotations these are, or else its main one.

        Raises:
            SpecError: the run has no such split.
        """
        split = split or (self._split_of(annotations) if annotations is not None else None) or self.main_split
        if split not in spec.data.splits:
            raise SpecError(f"{self.path}: no split {split!r}; it has {', '.join(spec.data.splits)}")
        return split

    def predicted_split(self, spec: TrialSpec, split: str | None, annotations: Path | None = None) -> str:
        """A split that the run has predicted, chosen as by `find_split`.

        Raises:
            SpecError: the run has no such split.
            RunError: it has not predicted the split yet.
        """
        split = self.find_split(spec, split, annotations)
        self.check_predicted(split)
        return split

    def _split_of(self, annotations: Path) -> str | None:
        """The split of which the run has recorded these annotations; that trained on only if it is no other's too."""
        digest = sha256_of(annotations) if annotations.is_file() else None
        recorded = read_provenance(self.provenance).get("data", {})
        found = [split for split, entry in recorded.items() if entry.get("sha256") == digest]
        return min(found, key=lambda split: split == "train", default=None)

    def check_predicted(self, split: str) -> None:
        """Refuse to read predictions that are not here.

        Raises:
            RunError: naming the command that makes them.
        """
        if not self.is_inferred(split):
            raise RunError(f"{self.path}: no predictions of split {split} here; {self.how_to_predict(split)}")

    def how_to_predict(self, split: str) -> str:
        """The command that makes the missing predictions of a split, in words that end a message."""
        if not self.is_trained() and self._outputs_after_training():
            return (
                "its figures were published without weights and predictions; "
                f"`{self.command('run', '--force')}` trains again and makes them"
            )
        return f"`{self.command('run')}` makes them"

    def command(self, verb: str, *flags: str) -> str:
        """The command that works on this very run, as it can be typed here."""
        words = ["vistrials", verb]
        if self._is_what_its_name_means():
            words += [self.trial, *(["--profile", self.profile] if self.profile != DEFAULT_PROFILE else [])]
        else:
            words.append(_as_typed(self.spec))
        words += ["--seed", str(self.seed)] if self.seed else []
        words += ["--results", _as_typed(self.results_dir)] if _as_typed(self.results_dir) != "results" else []
        return shlex.join([*words, *flags])

    def _is_what_its_name_means(self) -> bool:
        """Whether trial and profile alone lead to this run: no setting was changed by hand, and no file is needed."""
        try:
            named = load_trial(self.trial, self.profile)
            return not self.spec.exists() or not self.differences(named)
        except (SpecError, RunError):
            return False

    def check(self, spec: TrialSpec) -> None:
        """Make sure that the results in the folder come from this very spec; a spec without results is ignored.

        Raises:
            RunError: it comes from another spec.
        """
        if self.spec.exists() and self.has_results() and (differences := self.differences(spec)):
            raise RunError(
                f"{self.path}: holds a run of another spec: {differences}; "
                "redo it with --force, or choose another folder with --results"
            )

    def prepare(self, spec: TrialSpec) -> None:
        """Make the folder, or make sure that the results in it come from this very spec.

        Raises:
            RunError: it comes from another spec, or there are results and no spec.
            SpecError: a file of a custom part is gone or has changed.
        """
        if self.spec.exists():
            self.check(spec)
            if not self.differences(spec):
                self._keep_modules(spec)
                return
        elif self.has_results():
            # Files that no run writes (a scheduler's log, notes) are no reason to refuse.
            raise RunError(
                f"{self.path}: has results but no spec.yaml, so nobody knows what they come from; "
                "clear them with --force, or choose another folder with --results"
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._keep_modules(spec)
            with replacing(self.spec) as temporary:
                temporary.write_text(dump_spec(_as_recorded(spec)), encoding="utf-8")
        except OSError as error:
            raise self._not_writable(error) from None

    def _keep_modules(self, spec: TrialSpec) -> None:
        """Copy the files of custom parts into the folder, so that it alone can repeat the run; others there go."""
        contents = {part.file.name: part.read(place) for place, part in custom_parts(spec).items()}
        there = set(self.modules.iterdir()) if self.modules.is_dir() else set()
        for name, content in contents.items():
            copy = self.modules / name
            if copy not in there or copy.read_bytes() != content:
                self.modules.mkdir(parents=True, exist_ok=True)
                with replacing(copy) as temporary:
                    temporary.write_bytes(content)
        for file in there - {self.modules / name for name in contents}:
            if file.suffix == ".py":
                file.unlink()

    def _not_writable(self, error: OSError) -> RunError:
        return RunError(
            f"{self.path}: cannot be written ({error.strerror or error}); choose another folder with --results"
        )

    def differences(self, spec: TrialSpec) -> str:
        """In which settings that change a result the recorded spec differs from this one: the first few, as text."""
        differences = [d for d in trial_differences(spec, read_whole_spec(self.spec)) if d[0] not in _WITHOUT_EFFECT]
        first = differences[:_DIFFERENCES_SHOWN]
        shown = ", ".join(f"{path} ({_shown(old)} there, {_shown(new)} asked for)" for path, old, new in first)
        return shown + (f" and {len(differences) - len(first)} more" if len(differences) > len(first) else "")

    def read_metrics(self, split: str | None = None) -> dict[str, Any]:
        """The figures of a split, under the names that evaluation gives them.

        Raises:
            RunError: the file is damaged.
        """
        path, cure = self.metrics(split), "delete the file and run again"
        try:
            metrics = load_json(path)
        except DataError as error:
            raise RunError(f"{error}; {cure}") from None
        if not isinstance(metrics, dict) or "AP" not in metrics:
            raise RunError(f"{path}: expected figures such as AP, found none; {cure}")
        return metrics

    def has_results(self) -> bool:
        """Whether anything is there that only a run makes."""
        return self.has_checkpoint() or self.is_trained() or bool(self._outputs_after_training())

    def clear(self) -> None:
        """Remove everything that runs write here, except `modules`, from which they go on; other files stay."""
        if self.tensorboard.is_dir():
            shutil.rmtree(self.tensorboard)
        files = (
            *(self.spec, self.provenance, self.losses, self.checkpoint, self.previous_checkpoint),
            *(self.weights, self.best_weights, self.last_weights),
            *(self.validation, self.validation_predictions, self.partial_validation_predictions),
        )
        for file in [*files, *self._outputs_after_training()]:
            _remove(file)

    def remove_leftovers(self) -> None:
        """Remove what a process that was killed left half written, or did not come to remove; files of others stay."""
        left = [*unfinished_files(self.path), *unfinished_files(self.modules)]
        if self.weights.is_file():
            left += [self.checkpoint, self.previous_checkpoint, self.best_weights]
            left += [self.validation_predictions, self.partial_validation_predictions]
        for finished in self.path.glob("predictions*.json"):
            left.append(finished.with_suffix(".partial.jsonl"))
        for file in left:
            with suppress(OSError):  # in nobody's way
                file.unlink()

    def clear_split(self, split: str) -> None:
        """Remove predictions, matches and figures of a split."""
        for file in (self.predictions(split), self.partial_predictions(split)):
            _remove(file)
        for name in (scored_name(split, truth) for truth in TRUTHS):
            _remove(self.matches(name))
            _remove(self.metrics(name))

    def clear_figures(self, split: str) -> None:
        """Remove the figures of a split, so that it is scored again."""
        for truth in TRUTHS:
            _remove(self.metrics(scored_name(split, truth)))

    def check_trainable(self) -> None:
        """Refuse to train anew beside predictions or figures that come from weights no longer here.

        Raises:
            RunError: there are some.
        """
        outputs = self._outputs_after_training()
        if outputs and not self.is_trained():
            raise RunError(
                f"{self.path}: has {outputs[0].name} but not {self.weights.name} that it comes from; "
                f"choose another folder with --results, or redo the run with `{self.command('run', '--force')}`"
            )

    def _outputs_after_training(self) -> list[Path]:
        kinds = ("predictions", "matches", "metrics")
        return sorted(path for kind in kinds for path in self.path.glob(f"{kind}*.json*"))

    @contextmanager
    def lock(self, before_wait: Callable[[], None] | None = None) -> Iterator[None]:
        """Keep other processes out of this run for a while; given up by the system if this process dies.

        Processes that this one forks meanwhile, such as those that load data, do not hold it.

        Args:
            before_wait: called where another process works on the run, which is then waited for.

        Raises:
            RunError: another process works on it and is not waited for, or the folder cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._not_writable(error) from None
        lock = FileLock(self.path / ".lock", mode=_LOCK_MODE, fallback_to_soft=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if before_wait is None:
                raise RunError(f"{self.path}: another process works on this run; wait for it or stop it") from None
            before_wait()
            lock.acquire(poll_interval=_LOOKS_SECONDS)
        except OSError:
            pass  # a file system without locks, or a folder that can only be read
        try:
            yield
        finally:
            lock.release()


def _remove(file: Path) -> None:
    """Remove a file of ours, if it is there.

    Raises:
        RunError: a folder has its name, whoever made it.
    """
    if file.is_dir():
        raise RunError(f"{file}: expected a file of the run, found a folder; remove it")
    file.unlink(missing_ok=True)


def _as_recorded(spec: TrialSpec) -> TrialSpec:
    """With the files of custom parts where the folder of the run has its copies."""
    return change_custom_parts(spec, lambda _, part: part.model_copy(update={"path": part.recorded_path}))


def _shown(value: Any) -> str:
    """A value in a message; of a digest the beginning says enough."""
    is_digest = isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value)
    return repr(f"{value[:12]}..") if is_digest else repr(value)


def _as_typed(path: Path) -> str:
    """A path as somebody in the working folder would type it."""
    path, here = path.resolve(), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def result_digest(spec: TrialSpec, *more: str, sections: Sequence[str] = ()) -> str:
    """SHA-256 of what changes a result: the spec without fields that have no effect on it, and further text.

    Args:
        spec: of the run.
        more: such as digests of files.
        sections: of the spec to look at; all by default.
    """
    content = spec.model_dump(mode="json", by_alias=True, exclude={"description"})
    for path in _WITHOUT_EFFECT:
        *parents, name = path.split(".")
        section = content
        for parent in parents:
            section = section[parent]
        section.pop(name, None)
    if sections:
        content = {name: content[name] for name in sections}
    return hashlib.sha256(json.dumps([content, *more], sort_keys=True).encode()).hexdigest()
