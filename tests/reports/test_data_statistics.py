import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.builders import small_document
from vistrials.data.statistics import compute_statistics
from vistrials.errors import DataError
from vistrials.formats.annotations import build_video_set
from vistrials.reports.data_statistics import (
    bin_edges,
    category_table,
    draw_data_statistics,
    render,
    save_data_statistics,
    shown_categories,
    table,
    to_frame,
)


@pytest.fixture
def sets():
    """A small set, and the same without tracks."""
    document = small_document()
    whole = compute_statistics(build_video_set(document, Path(), "test"))
    document["annotations"] = []
    return {"whole": whole, "bare": compute_statistics(build_video_set(document, Path(), "test", False))}


def test_tables(sets):
    rows = {name: cells for name, *cells in table(sets)}
    assert rows["videos"] == ["3", "3"]
    assert rows["tracks (objects)"] == ["5", "0"]
    assert rows["frames of a video"] == ["2 / 3 / 3.0 / 4"] * 2
    assert rows["frames with a given object"] == ["2 / 2 / 2.2 / 3", "–"]
    assert rows["small / medium / large objects"] == ["5 / 0 / 0", "0 / 0 / 0"]
    assert rows["absent, of frames from first to last"] == ["15.4%", "–"]
    assert rows["categories with tracks"] == ["3 of 3", "0 of 3"]
    assert category_table(sets) == [("cat", "1", "0"), ("dog", "3", "0"), ("newt", "1", "0")]
    assert category_table({"bare": sets["bare"]}) == []


def test_the_same_numbers_as_a_frame_and_in_every_form(sets):
    frame = to_frame(sets)
    assert list(frame.columns) == ["whole", "bare"]
    assert frame["whole"][["num_videos", "num_tracks", "tracks_per_category.dog", "tracks_by_size.small"]].tolist() == [
        *(3, 5, 3, 5)
    ]
    lengths = frame.loc[["track_lengths_min", "track_lengths_median", "track_lengths_mean", "track_lengths_max"]]
    assert lengths["whole"].tolist() == [2, 2, 2.2, 3] and lengths["bare"].isna().all()
    rows = render(sets, "csv").splitlines()
    assert rows[0] == "number,whole,bare" and "track_lengths_mean,2.2," in rows
    assert json.loads(render(sets, "json"))["whole"]["tracks_per_category"] == {"cat": 1, "dog": 3, "newt": 1}
    assert "| absent, of frames from first to last | 15.4% | – |" in render(sets, "markdown").splitlines()
    assert r"absent, of frames from first to last & 15.4\% & -- \\" in render(sets, "latex").splitlines()


def test_a_category_is_never_a_formula_and_never_a_column(sets):
    strange = replace(sets["whole"], tracks_per_category={"=cmd()|x": 1})
    assert "| =cmd()\\|x | 1 |" in render({"s": strange}, "markdown").splitlines()
    assert "tracks_per_category.=cmd()|x,1.0" in render({"=s": strange}, "csv").splitlines()
    assert render({"=s": strange}, "csv").startswith("number,'=s\n")


def test_bins_hold_every_value_once():
    rng = np.random.default_rng(0)
    for _ in range(200):
        low, spread = rng.integers(0, 50), rng.integers(1, 200)
        values = rng.integers(low, low + spread, 30).tolist()
        edges = bin_edges([dict.fromkeys(values, 1), {}])
        assert 2 <= len(edges) <= 21
        assert np.histogram(values, edges)[0].sum() == 30
        assert (edges % 1 == 0.5).all()
    assert bin_edges([{}]).tolist() == [-0.5, 0.5]


def test_bars_are_what_was_counted(sets):
    assert shown_categories(sets) == ["dog", "cat", "newt"]
    figure = draw_data_statistics({"whole": sets["whole"]})
    heights = {axes.get_title(): [bar.get_height() for bar in axes.patches] for axes in figure.axes}
    assert [bar.get_width() for bar in figure.axes[0].patches] == [3, 1, 1]
    assert heights["frames of a video"] == pytest.approx([100 / 3] * 3)
    assert heights["frames in which an object is present"] == [80, 20]
    assert heights["objects by mean area"] == [100, 0, 0]
    assert heights["frames by box overlap rate"] == [100] + [0] * 19
    assert len(figure.axes) == 7


@pytest.mark.parametrize("name", ["a.png", "new/a.pdf", "a.svg"])
def test_files(sets, tmp_path, name):
    path = save_data_statistics(sets, tmp_path / name)
    assert path.stat().st_size > 1000
    if path.suffix == ".png":
        assert np.asarray(Image.open(path)).std() > 10


def test_other_suffixes_are_refused(sets, tmp_path):
    with pytest.raises(DataError, match="to end in .png, .pdf or .svg"):
        save_data_statistics(sets, tmp_path / "a.jpeg")
