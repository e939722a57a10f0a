"""What `import vistrials` offers beside the readers of trials and results; the work is done in the packages below."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vistrials.specs.loading import DEFAULT_PROFILE, load_trial
from vistrials.specs.trial import TrialSpec

if TYPE_CHECKING:
    from pandas import DataFrame

    from vistrials.evaluation.errors.analysis import Diagnosis
    from vistrials.evaluation.youtube_vis import Evaluation
    from vistrials.runs.directory import RunDirectory


def run(
    trial: str | Path | TrialSpec,
    profile: str | None = None,
    *,
    overrides: Sequence[str] = (),
    seed: int = 0,
    results_dir: Path | str = "results",
    device: str = "auto",
    force: bool = False,
) -> "RunDirectory":
    """Train, infer and evaluate a trial, as far as that is not done.

    Args:
        trial: its name, its YAML, the spec.yaml of a run, or what `load_trial` gave, which has its profile and
            overrides in it.
        profile: data set and size of the network; demo by default.
        overrides: `a.b=value` each.
        seed: of the run; another seed, another run.
        results_dir: the run lives in results_dir/<profile>/<trial>/seed<N>/.
        device: auto, cpu, cuda, cuda:N or mps.
        force: redo what is done already.

    Returns:
        The folder of the run: its paths, and `read_metrics(split)`, the figures as fractions.

    Raises:
        VistrialsError: something that you can mend, in one line.

    >>> import tempfile, vistrials
    >>> few = ["data.source.train=[2,2]", "data.source.minival=[1,2]", "data.splits=[minival]", "train.max_iters=1"]
    >>> few += ["data.source.occlusion=[1,16]", "train.batch_size=1"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     finished = vistrials.run("baseline", "smoke", overrides=few, results_dir=folder, device="cpu")
    ...     0 <= finished.read_metrics("minival")["AP"] <= 1
    True
    """
    from vistrials import pipeline
    from vistrials.errors import SpecError

    if isinstance(trial, TrialSpec):
        if profile is not None or overrides:
            raise SpecError("run: expected no profile and no overrides beside a loaded trial: give them to load_trial")
        spec = trial
    else:
        spec = load_trial(trial, profile, overrides)
    return pipeline.run(spec, results_dir, seed, device=device, force=force, overrides=overrides)


def evaluate(ground_truth: Path | str, predictions: Path | str, *, strict: bool = False) -> "Evaluation":
    """Score a predictions file of any program against annotations (.json or .json.gz each).

    Args:
        ground_truth: in YouTube-VIS form.
        predictions: a list of tracks with video_id, category_id, score and a segmentation per frame.
        strict: refuse tracks that do not fit their video; by default they are among the `warnings`.

    Returns:
        `figures`: the 12 published ones as fractions, -1 where nothing was counted; `ap_per_category`; `warnings`; ...

    Raises:
        DataError: a file cannot be read, or holds an entry that cannot be used.

    >>> import json, pathlib, tempfile, vistrials
    >>> square = {"size": [10, 10], "counts": [0, 40, 60]}  # the first four columns
    >>> video = {"id": 1, "width": 10, "height": 10, "length": 2, "file_names": ["0.jpg", "1.jpg"]}
    >>> track = {"id": 1, "video_id": 1, "category_id": 3, "iscrowd": 0, "bboxes": [[0, 0, 4, 10]] * 2,
    ...          "areas": [40, 40], "segmentations": [square, square]}
    >>> truth = {"videos": [video], "categories": [{"id": 3, "name": "cat"}], "annotations": [track]}
    >>> found = [{"video_id": 1, "category_id": 3, "score": 0.9, "segmentations": [square, None]}]
    >>> with tempfile.TemporaryDirectory() as name:
    ...     folder = pathlib.Path(name)
    ...     _ = (folder / "gt.json").write_text(json.dumps(truth))
    ...     _ = (folder / "pred.json").write_text(json.dumps(found))
    ...     figures = vistrials.evaluate(folder / "gt.json", folder / "pred.json").figures
    >>> round(figures["AP50"], 3), round(figures["AP75"], 3)  # half of the track is found
    (1.0, 0.0)
    """
    from vistrials.evaluation.youtube_vis import evaluate_files

    return evaluate_files(ground_truth, predictions, strict=strict)


def diagnose(
    run_or_predictions: Path | str, ground_truth: Path | str | None = None, *, split: str | None = None
) -> "Diagnosis":
    """Name what is wrong with predictions by kind and cause, and how much AP would gain without it.

    Args:
        run_or_predictions: the folder of a run; with `ground_truth` a predictions file of any program.
        ground_truth: its annotations.
        split: of a run; its main one by default.

    Returns:
        `score`, AP as it is; `errors` by kind and `temporal` errors by cause, each with its gain; `to_dict()`; ...

    Raises:
        RunError: there is no such run, or it has not predicted the split.
        SpecError: a split beside annotations, or one that the run does not have.
        DataError: annotations or predictions are missing or broken.

    >>> import json, pathlib, tempfile, vistrials
    >>> square = {"size": [10, 10], "counts": [0, 40, 60]}
    >>> video = {"id": 1, "width": 10, "height": 10, "length": 2, "file_names": ["0.jpg", "1.jpg"]}
    >>> track = {"id": 1, "video_id": 1, "category_id": 3, "iscrowd": 0, "bboxes": [[0, 0, 4, 10]] * 2,
    ...          "areas": [40, 40], "segmentations": [square, square]}
    >>> categories = [{"id": 3, "name": "cat"}, {"id": 4, "name": "dog"}]
    >>> truth = {"videos": [video], "categories": categories, "annotations": [track]}
    >>> found = [{"video_id": 1, "category_id": 4, "score": 0.9, "segmentations": [square, square]}]
    >>> with tempfile.TemporaryDirectory() as name:
    ...     folder = pathlib.Path(name)
    ...     _ = (folder / "gt.json").write_text(json.dumps(truth))
    ...     _ = (folder / "pred.json").write_text(json.dumps(found))
    ...     diagnosis = vistrials.diagnose(folder / "pred.json", folder / "gt.json")
    >>> {kind: row.num_at_50 for kind, row in diagnosis.errors.items() if row.num_at_50}  # a cat, taken for a dog
    {'classification': 1}
    """
    from vistrials.evaluation.errors.analysis import diagnose_files
    from vistrials.finished_runs.predictions import find_predictions

    return diagnose_files(*find_predictions(run_or_predictions, ground_truth, split))


def compare(
    results_dir: Path | str = "results",
    profile: str = DEFAULT_PROFILE,
    split: str | None = None,
    *,
    against: str = "baseline",
    mix: bool = False,
    num_draws: int = 10_000,
    margin: float | None = None,
    family: Sequence[str] = (),
) -> "DataFrame":
    """Table 1: the trials of a profile side by side, a row each, with a verdict on each against one.

    Args:
        results_dir: holds <profile>/<trial>/seed<N>/.
        profile: whose runs.
        split: evaluated by the runs, such as minival, or minival.amodal against whole objects; by default the main
            split of most.
        against: the trial that differences are to, and verdicts on.
        mix: compare also what is not comparable, with footnotes.
        num_draws: of videos, for intervals and verdicts; 0 leaves these out.
        margin: in AP in percent, within which trials count as equal; by default 1, or that of a plan of
            `run-all --until-decided`, whose trials then are the family too.
        family: trials, or parts of the table (starts, study, neck, ...), that verdicts are for; all by default.

    Returns:
        Means over seeds in percent, their standard deviations, intervals, differences, p and verdicts (see
        `reports.comparison_text.to_frame`). `attrs["caption"]` and `attrs["remarks"]` are what stands below the table.

    Raises:
        RunError: no run is evaluated on the split, or they are not comparable.
        SpecError: the number of draws is neither 0 nor enough, the margin is not positive, or `against` or a name of
            the family is no trial of the table.
        DataError: a file of a run cannot be used.

    >>> import vistrials
    >>> table = vistrials.compare("results", "demo", "minival", num_draws=0).set_index("trial")
    >>> table.loc[["baseline", "baseline_tuning_1"], ["AP", "AP_sd", "num_seeds"]].round(1).values.tolist()
    [[66.5, 0.2, 3.0], [68.8, 0.8, 3.0]]
    """
    from vistrials.reports.comparison import compare_runs
    from vistrials.reports.comparison_text import caption, remarks, to_frame

    comparison = compare_runs(
        results_dir,
        profile,
        split,
        against=against,
        mix=mix,
        num_draws=num_draws,
        margin=margin,
        family=family,
    )
    frame = to_frame(comparison)
    frame.attrs |= {"caption": caption(comparison), "remarks": remarks(comparison)}
    return frame


def load_statistics(*annotations: Path | str) -> "DataFrame":
    """What data sets hold: a row for each number, a column for each annotation file (.json or .json.gz), by its path.

    Returns:
        Floats, NaN where there is nothing to say; for the rows see `reports.data_statistics.to_frame`.

    Raises:
        DataError: a file cannot be read, or holds an entry that cannot be used.

    >>> import pathlib, tempfile, vistrials
    >>> from vistrials.data.synthetic.dataset import SyntheticSizes, synthesize
    >>> with tempfile.TemporaryDirectory() as folder:  # 3 embedded videos of 4 frames
    ...     _ = synthesize(pathlib.Path(folder), SyntheticSizes(train=(3, 4)), splits=["train"])
    ...     statistics = vistrials.load_statistics(f"{folder}/train.json")
    >>> statistics.loc[["num_videos", "num_frames", "video_lengths_mean"]].squeeze().tolist()
    [3.0, 12.0, 4.0]
    """
    from vistrials.data.statistics import compute_statistics
    from vistrials.formats.annotations import load_video_set
    from vistrials.reports.data_statistics import to_frame

    return to_frame(
        {
            str(path): compute_statistics(load_video_set(Path(path), Path(), require_annotations=False))
            for path in annotations
        }
    )
