"""Pictures of differences: what is drawn where, and that they are readable with many trials."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from typer.testing import CliRunner

from tests.evaluation.drawn_matches import one_object_each
from tests.reports.fake_runs import write_run, write_run_with_matches
from vistrials.cli import app
from vistrials.errors import DataError, RunError
from vistrials.evaluation.intervals import Interval
from vistrials.evaluation.verdicts import Judgement, Needed, Verdict
from vistrials.reports.comparison import Comparison, Row, Statistic
from vistrials.reports.effects import category_differences, draw_effects, draw_profiles, save_effects


def row(trial: str, difference: float | None, verdict: Verdict | None, reach: float = 0.5) -> Row:
    judged = None
    if verdict is not None and difference is not None:
        wide = Interval(difference - 2 * reach, difference + 2 * reach)
        needed = Needed(7, None) if verdict is Verdict.UNDECIDED else None
        judged = Judgement(0.1, 0.2, 0.3, 0.4, wide, verdict, needed)
    interval = Interval(difference - reach, difference + reach) if difference is not None else None
    statistic = Statistic(difference, None) if difference is not None else None
    return Row(trial, (0, 1), 2, {}, None, statistic, interval, 0.5, judged, ())


def comparison(*rows: Row, split: str = "minival") -> Comparison:
    return Comparison("demo", split, "baseline", rows, 1000, 60, 1.0, None, (), ())


ROWS = (
    row("baseline", None, None),
    row("a", 2.0, Verdict.BETTER),
    row("b", -3.0, Verdict.WORSE),
    row("c", 0.25, Verdict.EQUAL),
    row("d", 1.0, Verdict.UNDECIDED),
    row("e", -0.04, None),
)


def lines(axes: Axes, place: int) -> list[tuple[list[float], float]]:
    """The ends of the horizontal lines of a row, and their width."""
    drawn = [line for line in axes.lines if list(line.get_ydata()) == [place, place]]
    return [([round(float(x), 6) for x in line.get_xdata()], line.get_linewidth()) for line in drawn]


def words(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.child_axes[0].get_yticklabels()]


def test_a_row_shows_its_interval_that_of_the_family_and_the_verdict_in_words() -> None:
    figure = draw_effects([comparison(*ROWS)])
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c", "d", "e"]
    (thin, thin_width), (thick, thick_width) = lines(axes, 0)
    assert (thin, thick) == ([1.0, 3.0], [1.5, 2.5]) and thin_width < thick_width
    assert words(axes) == [
        "+2.0  better",
        "-3.0  worse",
        "+0.2  equal",
        "+1.0  undecided: 7 seeds",
        "+0.0  one network",
    ]
    # Without a verdict there is no interval of the family.
    assert len(lines(axes, 4)) == 1
    band = axes.patches[0]
    assert (band.get_x(), band.get_x() + band.get_width()) == (-1, 1)  # type: ignore[attr-defined]


def test_verdicts_differ_by_colour_and_marker() -> None:
    (axes,) = draw_effects([comparison(*ROWS)]).axes
    points = [line for line in axes.lines if len(line.get_xdata()) == 1]
    assert [float(line.get_xdata()[0]) for line in points] == [2.0, -3.0, 0.25, 1.0, -0.04]
    assert len({(line.get_color(), line.get_marker()) for line in points}) == 4
    assert points[3].get_markerfacecolor() == points[4].get_markerfacecolor() == "white"


def test_splits_stand_side_by_side_with_the_same_rows() -> None:
    figure = draw_effects([comparison(*ROWS), comparison(ROWS[0], row("f", 9.0, None), ROWS[1], split="occlusion")])
    first, second = figure.axes
    assert [label.get_text() for label in first.get_yticklabels()] == ["a", "b", "c", "d", "e", "f"]
    assert words(second) == ["+2.0  better", "–", "–", "–", "–", "+9.0  one network"]
    assert second.get_title() == "demo, split occlusion"


def test_more_than_two_splits_stand_below_each_other() -> None:
    figure = draw_effects([comparison(*ROWS, split=split) for split in ("minival", "occlusion", "gaps")])
    figure.draw_without_rendering()
    left, right, below = (axes.get_window_extent() for axes in figure.axes)
    assert left.y0 == right.y0 > below.y1 and right.x0 > left.x1 and below.x0 == left.x0
    assert [axes.get_title() for axes in figure.axes][2] == "demo, split gaps"
    # Both on the left name the trials.
    named = [axes.yaxis.get_tick_params().get("labelleft", True) for axes in figure.axes]
    assert named == [True, False, True]


def test_one_wide_interval_does_not_flatten_the_others() -> None:
    (axes,) = draw_effects([comparison(*ROWS, row("wide", 0.0, None, reach=80.0))]).axes
    low, high = axes.get_xlim()
    assert -12 < low < -3 and 2.5 < high < 12


def test_thirty_rows_do_not_overlap() -> None:
    rows = [row(f"trial_{n}", float(n % 5 - 2), Verdict.UNDECIDED) for n in range(30)]
    figure = draw_effects([comparison(*rows)])
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert all(upper.y0 >= lower.y1 - 1 for upper, lower in zip(boxes, boxes[1:], strict=False))
    assert all(box.x0 >= 0 for box in boxes)


def test_nothing_to_compare_is_said() -> None:
    with pytest.raises(RunError, match="no trial to compare with baseline"):
        draw_effects([comparison(ROWS[0])])


# --- Profiles


def frame(**aps: list[list[float]]) -> pd.DataFrame:
    """AP of categories x and y, by trial and seed."""
    rows = [
        {"trial": trial, "seed": seed, "category": category, "AP": ap}
        for trial, of_seeds in aps.items()
        for seed, of_categories in enumerate(of_seeds)
        for category, ap in zip("xy", of_categories, strict=True)
    ]
    return pd.DataFrame(rows)


def test_profiles_are_differences_over_common_seeds_in_percent() -> None:
    found = category_differences(
        frame(zebra=[[0.5, 0.5], [0.7, 0.1], [0.9, 0.9]], baseline=[[0.4, 0.5], [0.6, 0.3]], apple=[[0.3, 0.75]])
    )
    assert found.index.tolist() == ["zebra", "apple"] and found.columns.tolist() == ["x", "y"]
    assert found.loc["zebra"].tolist() == pytest.approx([(10 + 10) / 2, (0 - 20) / 2])
    assert found.loc["apple"].tolist() == pytest.approx([-10, 25])


def test_profiles_can_be_against_any_trial() -> None:
    found = category_differences(frame(baseline=[[0.4, 0.5]], apple=[[0.3, 0.75]]), "apple")
    assert found.loc["baseline"].tolist() == pytest.approx([10, -25]) and len(found) == 1
    with pytest.raises(RunError, match="no run of pear"):
        category_differences(frame(apple=[[0.3, 0.75]]), "pear")


@pytest.mark.parametrize(
    ("aps", "said"),
    [
        ({"a": [[0.1, 0.2]]}, "no run of baseline"),
        ({"baseline": [[0.1, 0.2]]}, "no trial to compare with baseline"),
    ],
)
def test_profiles_need_both_sides(aps: dict[str, Any], said: str) -> None:
    with pytest.raises(RunError, match=said):
        category_differences(frame(**aps))


def test_profiles_have_numbers_where_there_is_room() -> None:
    small = pd.DataFrame({"x": [1.4, -0.2], "y": [float("nan"), -7.0]}, index=["a", "b"])
    figure: Figure = draw_profiles({"minival": small}, "title")
    assert [text.get_text() for text in figure.axes[0].texts] == ["+1", "+0", "-7"]
    large = pd.DataFrame(0.0, index=range(30), columns=range(40))
    assert len(draw_profiles({"minival": large}, "title").axes[0].texts) == 0


# --- Files


def test_the_command_draws_both_pictures_and_keeps_files(tmp_path: Path) -> None:
    for trial, num_right in (("baseline", 10), ("attention_neck", 14)):
        for seed in range(2):
            matches = one_object_each([(0.9 - n / 100, n < num_right + seed) for n in range(20)])
            write_run_with_matches(tmp_path, trial, seed, matches)
    out = tmp_path / "new" / "effects.png"
    call = ["plot-effects", "--results", str(tmp_path), "-o", str(out)]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0 and result.stdout.strip() == str(out)
    assert out.read_bytes().startswith(b"\x89PNG")
    against = tmp_path / "against.svg"
    turned = ["plot-effects", "--results", str(tmp_path), "-o", str(against), "--against", "attention_neck"]
    assert CliRunner().invoke(app, turned).exit_code == 0
    assert "ΔAP against attention_neck" in against.read_text()
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    for option in (["--family", "study"], ["--margin", "2"]):
        result = CliRunner().invoke(app, ["plot-effects", "-o", str(tmp_path / "p.png"), "--by-category", *option])
        assert result.exit_code == 2 and "--by-category: expected without --margin and --family" in result.stderr
    with pytest.raises(DataError, match=r"effects\.txt: expected the name .* to end in \.png, \.pdf or \.svg"):
        save_effects(tmp_path, "demo", tmp_path / "effects.txt")


def test_a_split_that_only_the_baseline_has_is_not_drawn(tmp_path: Path) -> None:
    write_run(tmp_path, "baseline", 0, 0.5)
    write_run(tmp_path, "baseline", 0, 0.5, split="occlusion")
    with pytest.raises(RunError, match="no split on which baseline and another trial are evaluated"):
        save_effects(tmp_path, "demo", tmp_path / "effects.svg")
    write_run(tmp_path, "attention_neck", 0, 0.6, split="occlusion")
    text = save_effects(tmp_path, "demo", tmp_path / "effects.svg", num_draws=0).read_text()
    assert "split occlusion" in text and "split minival" not in text
