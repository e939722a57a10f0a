import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image
from typer.testing import CliRunner

from tests.reports.fake_runs import write_run
from vistrials.cli import app
from vistrials.errors import DataError, RunError
from vistrials.reports.loss_curves import (
    CURVES,
    choose_window,
    draw_loss_curves,
    load_logs,
    save_loss_curves,
    smooth,
)


def falling(num_iters: int, offset: float = 0.0) -> list[dict[str, Any]]:
    return [
        {"iter": i, "epoch": 1, "lr": 0.1, **{name: offset + 1 / i for name in CURVES}} for i in range(1, num_iters + 1)
    ]


# --- Smoothing


def test_smoothing_is_the_mean_around_each_value_and_shorter_at_the_ends() -> None:
    smoothed = smooth(np.array([1.0, 2.0, 6.0, 4.0]), 3)
    assert smoothed == pytest.approx([(1 + 2) / 2, (1 + 2 + 6) / 3, (2 + 6 + 4) / 3, (6 + 4) / 2])


def test_what_is_not_there_is_left_out_of_the_mean() -> None:
    nan = float("nan")
    assert smooth(np.array([1.0, nan, 5.0, nan, nan, nan]), 3) == pytest.approx([1, 3, 5, 5, nan, nan], nan_ok=True)


def test_a_window_longer_than_the_training_gives_its_mean_and_one_of_1_changes_nothing() -> None:
    values = np.array([1.0, 2.0, 6.0])
    assert smooth(values, 9) == pytest.approx([3.0, 3.0, 3.0])
    assert smooth(values, 1) == pytest.approx(values)


def test_all_trials_have_the_window_of_the_longest() -> None:
    assert choose_window({"a": {"iter": np.arange(1.0, 501)}, "b": {"iter": np.arange(1.0, 5)}}) == 2 * 10 + 1
    assert choose_window({"b": {"iter": np.arange(1.0, 5)}}) == 1


# --- Logs


def test_logs_come_by_trial_in_the_order_asked_for(tmp_path: Path) -> None:
    write_run(tmp_path, "baseline", losses=falling(3))
    write_run(tmp_path, "attention_neck", losses=falling(2))
    write_run(tmp_path, "weighted_affinity")
    write_run(tmp_path, "weighted_affinity", 1, losses=falling(4))
    assert list(load_logs(tmp_path, "demo")) == ["baseline", "attention_neck"]
    assert list(load_logs(tmp_path, "demo", ["attention_neck", "baseline"])) == ["attention_neck", "baseline"]
    assert list(load_logs(tmp_path, "demo", seed=1)) == ["weighted_affinity"]
    log = load_logs(tmp_path, "demo")["baseline"]
    assert log["iter"].tolist() == [1, 2, 3] and log["loss_total"] == pytest.approx([1, 1 / 2, 1 / 3])


def test_a_missing_or_null_loss_is_nan_and_a_half_written_last_line_is_none(tmp_path: Path) -> None:
    run = write_run(tmp_path, "baseline", losses=[{"iter": 1, "loss_cls": None, "loss_total": 2}])
    with open(run.losses, "a") as file:
        file.write('{"iter": 2, "loss_to')
    log = load_logs(tmp_path, "demo")["baseline"]
    assert np.isnan([*log["loss_cls"], *log["loss_match"]]).all() and log["loss_total"].tolist() == [2]


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path, "baseline", losses=falling(3))
    run.losses.write_text("nonsense\n" + run.losses.read_text())
    with pytest.raises(DataError, match=r"losses\.jsonl: line 1: expected a record"):
        load_logs(tmp_path, "demo")


def test_what_has_no_log_cannot_be_drawn(tmp_path: Path) -> None:
    write_run(tmp_path, "baseline")
    with pytest.raises(RunError, match="nothing is logged with seed 0 by baseline"):
        load_logs(tmp_path, "demo")
    write_run(tmp_path, "attention_neck", losses=falling(2))
    with pytest.raises(RunError, match="nothing is logged with seed 0 by baseline"):
        load_logs(tmp_path, "demo", ["baseline", "attention_neck"])
    with pytest.raises(RunError, match="no run of nope with seed 0; there are baseline, attention_neck"):
        load_logs(tmp_path, "demo", ["nope"])
    with pytest.raises(RunError, match="nothing is logged with seed 7, nor is there a run"):
        load_logs(tmp_path, "demo", seed=7)


# --- Figure and file


def test_ten_trials_differ_in_colour_and_style_and_stand_in_one_legend(tmp_path: Path) -> None:
    trials = [f"trial_{number}" for number in range(10)]
    for number, trial in enumerate(trials):
        write_run(tmp_path, trial, losses=falling(50, offset=number))
    logs = load_logs(tmp_path, "demo")
    figure = draw_loss_curves(logs, 3, "ten")
    assert [axes.get_title() for axes in figure.axes] == [f"{label} ({name})" for name, label in CURVES.items()]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == trials
    assert all(axes.get_legend() is None for axes in figure.axes)
    raw, lines = figure.axes[5].lines[::2], figure.axes[5].lines[1::2]
    assert len({to_rgb(line.get_color()) for line in lines}) == 10
    assert {line.get_linestyle() for line in lines} == {"-", "--"}
    for number, (faint, line) in enumerate(zip(raw, lines, strict=True)):
        assert faint.get_alpha() < 0.3 and to_rgb(faint.get_color()) == to_rgb(line.get_color())
        assert faint.get_ydata()[:2] == pytest.approx([number + 1, number + 1 / 2])
        assert line.get_ydata()[:2] == pytest.approx([number + 3 / 4, number + (1 + 1 / 2 + 1 / 3) / 3])
    assert "rolling mean over 3 iterations" in figure.axes[4].get_xlabel()


def test_an_outlier_does_not_flatten_the_rest(tmp_path: Path) -> None:
    losses = falling(1000)
    losses[500]["loss_total"] = 1e6
    write_run(tmp_path, "baseline", losses=losses)
    figure = draw_loss_curves(load_logs(tmp_path, "demo"), 1, "")
    assert figure.axes[5].get_ylim()[1] < 2


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_the_suffix_says_what_is_written(tmp_path: Path, suffix: str, magic: bytes) -> None:
    write_run(tmp_path, "baseline", losses=falling(30))
    out = save_loss_curves(tmp_path, "demo", tmp_path / "new" / f"losses{suffix}")
    assert out.read_bytes().startswith(magic)
    if suffix == ".png":
        assert Image.open(out).size == (1800, 1125)


def test_csv_holds_the_raw_and_the_smoothed_values(tmp_path: Path) -> None:
    losses = falling(60)
    del losses[1]["loss_match"]
    write_run(tmp_path, "baseline", losses=losses)
    out = save_loss_curves(tmp_path, "demo", tmp_path / "losses.csv")
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert len(rows) == 60 and (rows[1]["trial"], rows[1]["seed"], rows[1]["iter"]) == ("baseline", "0", "2")
    assert (rows[1]["loss_total"], rows[1]["loss_match"]) == ("0.5", "")
    # 4% of 60 iterations, as an odd number.
    assert float(rows[1]["loss_total_mean_of_3"]) == pytest.approx((1 + 1 / 2 + 1 / 3) / 3, rel=1e-5)
    assert float(rows[1]["loss_match_mean_of_3"]) == pytest.approx((1 + 1 / 3) / 2, rel=1e-5)


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.gif: .* to end in \.png, \.pdf, \.svg or \.csv"):
        save_loss_curves(tmp_path, "demo", "a.gif")


def test_plot_losses_writes_and_names_the_file(tmp_path: Path) -> None:
    write_run(tmp_path, "baseline", 2, losses=falling(5))
    write_run(tmp_path, "attention_neck", 2, losses=falling(5))
    out = tmp_path / "losses.csv"
    options = ["--results", str(tmp_path), "--seed", "2", "-o", str(out)]
    result = CliRunner().invoke(app, ["plot-losses", "baseline", *options])
    assert result.exit_code == 0 and result.stdout.strip() == str(out)
    assert {row["trial"] for row in csv.DictReader(out.read_text().splitlines())} == {"baseline"}
    nope = CliRunner().invoke(app, ["plot-losses", "nope", *options, "--force"])
    assert nope.exit_code == 2 and "nope" in nope.stderr
