"""The study's questions, and what the runs of this project answer: by verdicts alone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from vistrials.evaluation.verdicts import Verdict
from vistrials.reports.comparison import MARGIN, Comparison, Row
from vistrials.reports.comparison_text import say_difference, verdict

Split = tuple[str, dict[str, Row]]
"""A split, and its rows by trial."""

_ANSWERS = _YES, _CONTRARY, _SAME, _UNDECIDED = (
    "yes",
    "no, to the contrary",
    f"no, AP is the same within ±{MARGIN:g}",
    "undecided",
)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and by which differences it is answered.

    asked: the question.
    against: the trial that differences are to.
    trials: whose differences, and what they have or lack; where all have the verdict `yes`, the answer is yes.
    yes: better or worse than the trial compared with.
    one_by_one: each of the trials that have run gets an answer of its own, without figures where that is open.
    """

    asked: str
    against: str
    trials: Mapping[str, str]
    yes: Verdict
    one_by_one: bool = False


QUESTIONS = (
    Question(
        "Does the neck help?",
        "baseline",
        {"attention_neck": "has the neck"},
        Verdict.BETTER,
    ),
    Question(
        "Does the neck use the other frame?",
        "attention_neck",
        {"neck_self": "attends within the frame", "neck_shuffled": "attends to a frame of another video"},
        Verdict.WORSE,
    ),
    Question(
        "Does propagation help?",
        "baseline",
        {"masktrack_rcnn_continued": "neither trained nor used"},
        Verdict.WORSE,
    ),
    Question(
        "Does it help at inference, with the same weights?",
        "baseline",
        {"propagation_train_only": "trained, not used"},
        Verdict.WORSE,
    ),
)
"""Of trainings side by side, a start for each seed."""

RULES = (
    Question(
        "Does propagation help at inference in a second training?",
        "baseline",
        {"propagation_train_only": "trained, not used"},
        Verdict.WORSE,
    ),
    Question(
        "Does it gain by a rule for what is hidden?",
        "baseline",
        {
            "visible_only": "no pixels of detected objects",
            "min_peak": "no masks of low probability",
            "keep_alive": "for 3 frames, with falling scores",
            "gap_close": "only between two detections",
        },
        Verdict.BETTER,
        one_by_one=True,
    ),
)
"""Of one training of the baseline, with whose weights the trials run."""


def answer(comparisons: Sequence[Comparison], questions: Sequence[Question]) -> list[str]:
    """One paragraph in Markdown for each question, from comparisons against each trial of the questions."""
    return [
        f"**{question.asked}** {' '.join(_say_splits(question, trials, splits) for trials in of_each)}"
        for question, of_each, splits in _answered(comparisons, questions)
    ]


def tabulate(comparisons: Sequence[Comparison], questions: Sequence[Question]) -> str:
    """For each question its differences, as a table over splits."""
    return "\n\n".join(
        f"**{question.asked}**\n\n{_table(question, chain.from_iterable(of_each), splits)}"
        for question, of_each, splits in _answered(comparisons, questions)
    )


def _answered(
    comparisons: Sequence[Comparison], questions: Sequence[Question]
) -> Iterator[tuple[Question, list[list[str]], list[Split]]]:
    """Questions with the trials that give an answer together, and the rows that do; those that have run."""
    for question in questions:
        splits = [
            (comparison.split, {row.trial: row for row in comparison.rows if row.trial in question.trials})
            for comparison in comparisons
            if comparison.against == question.against and any(row.trial in question.trials for row in comparison.rows)
        ]
        if question.one_by_one:
            of_each = [[name] for name in question.trials if all(name in rows for _, rows in splits)]
        else:
            of_each = [list(question.trials)]
        if splits and of_each:
            yield question, of_each, splits


def _say_splits(question: Question, trials: Sequence[str], splits: Sequence[Split]) -> str:
    """Which splits give which answer, with the differences that do, in the order of the trials."""
    found: dict[str, list[str]] = {}
    for split, rows in splits:
        asked = [rows[name] for name in trials]
        words = _say(question, asked)
        leave_out = question.one_by_one and words == _UNDECIDED
        differences = "" if leave_out else f" ({', '.join(map(say_difference, asked))})"
        found.setdefault(words, []).append(f"`{split}`{differences}")
    of = " and ".join(f"`{name}`" for name in trials)
    said = "; ".join(f"{words} on {', '.join(found[words])}" for words in _ANSWERS if words in found)
    return f"By ΔAP of {of} against `{question.against}`: {said}."


def _say(question: Question, rows: Sequence[Row]) -> str:
    verdicts = {row.judgement.verdict if row.judgement else Verdict.UNDECIDED for row in rows}
    if verdicts == {question.yes}:
        return _YES
    if Verdict.EQUAL in verdicts:
        return _SAME
    if verdicts - {question.yes, Verdict.UNDECIDED}:
        return _CONTRARY
    return _UNDECIDED


def _table(question: Question, trials: Iterable[str], splits: Sequence[Split]) -> str:
    lines = [
        f"| ΔAP against `{question.against}` | {' | '.join(f'`{split}`' for split, _ in splits)} |",
        f"|---|{'---|' * len(splits)}",
    ]
    for trial in trials:
        cells = (f"{say_difference(rows[trial])} {verdict(rows[trial].judgement)}" for _, rows in splits)
        lines.append(f"| `{trial}`: {question.trials[trial]} | {' | '.join(cells)} |")
    return "\n".join(lines)
