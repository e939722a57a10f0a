"""The study's questions, and what the runs of this project answer: by verdicts alone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from markdown_tables import markdown_table

from vistrials.evaluation.verdicts import Verdict
from vistrials.reports.comparison import Comparison, Row
from vistrials.reports.comparison_text import say_difference, verdict

MIN_NETWORKS = 3
"""Rows with fewer are shown, and undecided: docs/study_plan.md said so before there were any."""

Split = tuple[str, dict[str, Row]]
"""A split, and its rows by trial."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and by which differences it is answered.

    asked: the question.
    against: the trial that differences are to.
    trials: whose differences, and what they have or lack; where all have the verdict `yes`, the answer is yes.
    yes: better or worse than the trial compared with.
    one_by_one: each of the trials that have run gets an answer of its own.
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
        "Does the neck help at inference, with the same weights?",
        "attention_neck",
        {"neck_off_at_test": "trained, not used"},
        Verdict.WORSE,
    ),
    Question(
        "Does the neck do better with ordered pairs?",
        "attention_neck",
        {"attention_neck_ordered": "the reference frame is the nearest earlier one"},
        Verdict.BETTER,
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
"""Of a second training, with whose weights the trials run."""


def overview(comparisons: Sequence[Comparison], questions: Sequence[Question]) -> str:
    """The answers as one table in Markdown, a row for each and a column for each split.

    *yes*, *no* (the other way round) and *same* (equal within the margin) go by the verdicts; *open* is undecided.
    """
    names = list(dict.fromkeys(comparison.split for comparison in comparisons))
    lines = []
    for question, of_each, splits in _answered(comparisons, questions):
        rows_of = dict(splits)
        for number, trials in enumerate(of_each):
            of = f"{', '.join(f'`{name}`' for name in trials)} against `{question.against}`"
            cells = (_say(question, [rows_of[name][trial] for trial in trials]) for name in names)
            lines.append(["" if number else question.asked, of, *cells])
    return markdown_table(["question", "ΔAP of", *(f"`{name}`" for name in names)], lines)


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


def _say(question: Question, rows: Sequence[Row]) -> str:
    """The answer on one split, with the differences that give it unless it is open."""
    verdicts = {_verdict(row) for row in rows}
    if verdicts == {question.yes}:
        word = "yes"
    elif Verdict.EQUAL in verdicts:
        word = "same"
    elif verdicts - {question.yes, Verdict.UNDECIDED}:
        word = "no"
    else:
        return "open"
    return f"{word}: {', '.join(map(say_difference, rows))}"


def _verdict(row: Row) -> Verdict:
    """That of the row, unless it has fewer networks than the plan asks for."""
    return row.judgement.verdict if row.judgement and row.num_networks >= MIN_NETWORKS else Verdict.UNDECIDED


def _verdict_and_p(row: Row) -> str:
    """The verdict; of one that a difference is there also the p for its family, which may be close to its bound."""
    judged, words = row.judgement, verdict(row.judgement)
    if judged is not None and row.num_networks < MIN_NETWORKS:
        return f"undecided: fewer than {MIN_NETWORKS} seeds"
    if judged is None or judged.verdict not in (Verdict.BETTER, Verdict.WORSE):
        return words
    return f"{words} (p {judged.adjusted_p:.3f})"


def _table(question: Question, trials: Iterable[str], splits: Sequence[Split]) -> str:
    lines = []
    for trial in trials:
        cells = (f"{say_difference(rows[trial])} {_verdict_and_p(rows[trial])}" for _, rows in splits)
        lines.append([f"`{trial}`: {question.trials[trial]}", *cells])
    return markdown_table([f"ΔAP against `{question.against}`", *(f"`{split}`" for split, _ in splits)], lines)
