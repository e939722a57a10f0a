"""The study's explanations of its trials, and what the runs of this project say about each."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from markdown_tables import markdown_table

from vistrials import load_losses
from vistrials.evaluation.verdicts import Verdict
from vistrials.reports.comparison import BASELINE, Comparison, Row
from vistrials.reports.comparison_text import say_difference

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the study says of a trial.

    found: its verdict on one run, as ours would name it.
    why: its explanation, or where none is known what it found.
    bears: what else bears on it, in words without figures.
    beside: trials whose rows are shown below it, for that.
    """

    trial: str
    found: Verdict
    why: str
    bears: str
    beside: tuple[str, ...] = ()


EXPLANATIONS = (
    Explanation(
        "baseline_tuning_1",
        Verdict.WORSE,
        "the deeper network overfits",
        "An overfitted network has lower training losses and less AP. The trial begins from a deeper start, which has "
        "another AP before it.",
        ("masktrack_rcnn_deep",),
    ),
    Explanation(
        "baseline_tuning_2",
        Verdict.WORSE,
        "the heavier classification loss and the higher IoU thresholds countervail each other",
        "Higher thresholds leave fewer and better boxes to the box loss, which falls for that reason alone.",
    ),
    Explanation(
        "baseline_ordered",
        Verdict.WORSE,
        "ordered pairs are fewer and generalise less",
        "Objects are matched over one frame instead of several, which is the easier task: the matching loss says so.",
        ("baseline_window",),
    ),
    Explanation(
        "additional_training",
        Verdict.BETTER,
        "more training still adds a little",
        "The same schedule runs once more from the baseline's last weights.",
    ),
    Explanation(
        "attention_neck",
        Verdict.WORSE,
        "one convolution per branch is too shallow",
        "Three per branch are `attention_neck_deep`.",
        ("attention_neck_deep",),
    ),
    Explanation(
        "attention_neck_ordered",
        Verdict.WORSE,
        "ordered pairs do better with the neck than random ones, if not as well as the baseline",
        "The neck with random pairs is below it in the table; under `demo` no verdict is on the difference of the two, "
        "under `demo_study` one is [below](#does-attention-to-another-frame-help-and-through-what).",
        ("attention_neck",),
    ),
    Explanation(
        "weighted_affinity",
        Verdict.WORSE,
        "its matrices are left out at test, which compromises the result",
        "The same matrix for all pairs, kept at test, is `weighted_affinity_shared`.",
        ("weighted_affinity_shared", "weighted_affinity_per_category"),
    ),
)

_LOSSES = {"loss_cls": "classification", "loss_bbox": "box", "loss_mask": "mask", "loss_match": "matching"}


def explain(compared: Sequence[Comparison], results: Path) -> str:
    """A section for each explanation, from comparisons over several splits and the loss logs in `results`."""
    losses = {profile: _last_losses(results, profile) for profile in dict.fromkeys(c.profile for c in compared)}
    return "\n\n".join(_section(each, compared, losses) for each in EXPLANATIONS)


def _section(explanation: Explanation, compared: Sequence[Comparison], losses: Mapping[str, "DataFrame"]) -> str:
    found = _rows(compared, explanation.trial)
    remarks = [explanation.bears, *(_say_losses(of, profile, explanation.trial) for profile, of in losses.items())]
    return "\n\n".join(
        [
            f"### `{explanation.trial}`: {explanation.why}",
            textwrap.fill(
                f"The study: {explanation.found} than the baseline, of one run. Here that is "
                f"{say_finding(explanation.found, found)}.",
                120,
            ),
            _table([found, *(_rows(compared, name) for name in explanation.beside)]),
            textwrap.fill(" ".join(filter(None, remarks)), 120),
        ]
    )


def _rows(compared: Sequence[Comparison], trial: str) -> list[tuple[Comparison, Row]]:
    """A trial's rows that have a difference to the baseline, each with its table."""
    return [(c, row) for c in compared for row in c.rows if row.trial == trial and row.difference]


def _table(of_trials: Sequence[Sequence[tuple[Comparison, Row]]]) -> str:
    """A row for each trial and profile, a column for each split: ΔAP, its interval, and the verdict."""
    splits = list(dict.fromkeys(comparison.split for rows in of_trials for comparison, _ in rows))
    cells: dict[tuple[str, str, str], dict[str, str]] = {}
    for comparison, row in chain.from_iterable(of_trials):
        verdict = row.judgement.verdict if row.judgement else "–"
        of = f"`{row.trial}`", comparison.profile, str(len(row.seeds))
        cells.setdefault(of, {})[comparison.split] = f"{say_difference(row)} {verdict}"
    return markdown_table(
        ["trial", "profile", "seeds", *(f"`{split}`" for split in splits)],
        ([*of, *(by_split.get(split, "") for split in splits)] for of, by_split in cells.items()),
    )


def say_finding(found: Verdict, rows: Sequence[tuple[Comparison, Row]]) -> str:
    """On which splits our verdicts support what the study found, contradict it, or leave it open."""
    said: dict[str, list[str]] = {"supported": [], "contradicted": []}
    for comparison, row in rows:
        verdict = row.judgement.verdict if row.judgement else Verdict.UNDECIDED
        if verdict is not Verdict.UNDECIDED:
            split = f"`{comparison.split}` of `{comparison.profile}` ({verdict})"
            said["supported" if verdict is found else "contradicted"].append(split)
    parts = [f"{word} on {', '.join(splits)}" for word, splits in said.items() if splits]
    num_decided = sum(map(len, said.values()))
    if num_decided < len(rows):
        parts.append("undecided on the others" if parts else f"undecided on all {len(rows)} splits")
    return ", ".join(parts)


def _last_losses(results: Path, profile: str) -> "DataFrame":
    """Means over the last fifth of the steps, by trial and seed."""
    logs = load_losses(results, profile)
    last = logs[logs.iter >= 0.8 * logs.groupby(["trial", "seed"]).iter.transform("max")]
    return last.groupby(["trial", "seed"])[list(_LOSSES)].mean()


def _say_losses(means: "DataFrame", profile: str, trial: str) -> str:
    """One sentence on training losses beside the baseline's; empty where no seed has both."""
    trials = means.index.get_level_values("trial")
    ours, base = (means[trials == name].droplevel("trial") for name in (trial, BASELINE))
    seeds = ours.index.intersection(base.index)
    if seeds.empty:
        return ""
    found, beside = ours.loc[seeds].mean(), base.loc[seeds].mean()
    parts = [f"{word} {found[name]:.3f} ({beside[name]:.3f})" for name, word in _LOSSES.items()]
    return f"Training losses under `{profile}` (the baseline's in brackets): {', '.join(parts)}."
