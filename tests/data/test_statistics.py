import json
import subprocess
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.data.builders import make_document, make_track, make_video, small_document
from vistrials.cli import app
from vistrials.data.statistics import box_overlap_rates, compute_statistics, mean, quantile, size_of
from vistrials.formats.annotations import build_video_set


def statistics_of(document):
    return compute_statistics(build_video_set(document, Path(), "test", require_annotations=False))


def test_a_set_worked_by_hand():
    # 300 comes and goes after two frames, a cat shows in frames 1 and 3; crowds count nowhere.
    found = statistics_of(small_document())
    assert (found.num_videos, found.num_frames) == (3, 4 + 2 + 3)
    assert (found.num_tracks, found.num_crowd_tracks) == (5, 1)
    assert found.num_masks == 2 + 2 + 2 + 3 + 2
    assert found.num_annotated_frames == 3 + 2 + 3
    assert found.tracks_per_category == {"cat": 1, "dog": 3, "newt": 1}
    assert found.video_lengths == {2: 1, 3: 1, 4: 1}
    assert found.track_lengths == {2: 4, 3: 1}
    assert found.objects_per_video == {1: 1, 2: 2}
    assert found.objects_per_frame == {0: 1, 1: 1 + 1 + 2 + 1, 2: 1 + 2}
    assert found.tracks_by_size == {"small": 5, "medium": 0, "large": 0}
    # The cat is absent in frame 2, the last dog in frame 1.
    assert (found.num_tracks_with_gap, found.longest_gap) == (2, 1)
    assert found.absent_fraction == 2 / (2 + 3 + 2 + 3 + 3)
    # Of 8 frames with objects none has two boxes that touch.
    assert found.mean_box_overlap == 0
    assert found.box_overlap == [8] + [0] * 19
    areas = [200 / (48 * 64)] * 2 + [96 / (48 * 64)] * 2 + [900 / (40 * 64)] * 2 + [81 / 2048] * 3 + [64 / 2048] * 2
    assert found.median_area_fraction == pytest.approx(sorted(areas)[5])


def test_gaps_and_overlap():
    size = (32, 32)
    boxes = [(0, 0, 4, 4), None, None, (0, 0, 4, 4), None, (0, 0, 4, 4), None]
    other = [(2, 0, 4, 4), (2, 0, 4, 4), None, (8, 8, 4, 4), None, None, (0, 0, 4, 4)]
    tracks = [make_track(1, 1, 7, boxes, size), make_track(2, 1, 7, other, size)]
    found = statistics_of(make_document([make_video(1, 7, size)], tracks))
    assert (found.num_tracks_with_gap, found.longest_gap) == (2, 2)
    assert found.absent_fraction == (3 + 3) / (6 + 7)
    # In frame 0 two boxes of 16 share 2 x 4 pixels; frames 1, 3, 5 and 6 have no overlap, 2 and 4 no object.
    assert found.mean_box_overlap == pytest.approx((8 / 24) / 5)
    assert found.num_annotated_frames == 5


def test_sizes_by_mean_area_over_the_frames_of_presence():
    assert [size_of(area) for area in (1, 128**2, 128**2 + 0.5, 256**2, 256**2 + 1)] == [
        "small",
        "small",
        "medium",
        "medium",
        "large",
    ]
    size = (300, 300)
    growing = [(0, 0, 100, 100), None, (0, 0, 180, 180)]  # (10,000 + 32,400) / 2 pixels; a third of it would be small
    tracks = [make_track(1, 1, 7, growing, size), make_track(2, 1, 7, [(0, 0, 300, 300)] * 3, size)]
    found = statistics_of(make_document([make_video(1, 3, size)], tracks))
    assert found.tracks_by_size == {"small": 0, "medium": 1, "large": 1}


def test_an_area_of_0_beside_a_mask_and_a_file_without_tracks():
    document = small_document()
    document["annotations"][0]["areas"][0] = 0
    assert statistics_of(document).num_masks == 11
    document["annotations"] = []
    found = statistics_of(document)
    assert (found.num_videos, found.num_tracks, found.num_masks) == (3, 0, 0)
    assert found.absent_fraction is found.mean_box_overlap is found.median_area_fraction is None


def plain_overlap_rate(boxes: list[tuple[int, int, int, int]]) -> float:
    """On the pixel grid: pixels in two boxes or more, of those in any."""
    times: Counter[tuple[int, int]] = Counter()
    for x, y, w, h in boxes:
        times.update((column, row) for column in range(x, x + w) for row in range(y, y + h))
    return sum(count > 1 for count in times.values()) / len(times) if times else 0


BOXES = st.lists(
    st.lists(
        st.none() | st.tuples(st.integers(-3, 12), st.integers(-3, 12), st.integers(1, 9), st.integers(1, 9)),
        min_size=3,
        max_size=3,
    ),
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(BOXES)
def test_overlap_rates_equal_counted_pixels(tracks):
    boxes, present = np.zeros((len(tracks), 3, 4)), np.zeros((len(tracks), 3), bool)
    for row, track in enumerate(tracks):
        for frame, box in enumerate(track):
            boxes[row, frame] = (5, 5, 5, 5) if box is None else box  # what an absent box holds does not matter
            present[row, frame] = box is not None
    expected = [plain_overlap_rate([track[frame] for track in tracks if track[frame]]) for frame in range(3)]
    assert box_overlap_rates(boxes, present) == pytest.approx(expected, abs=1e-12)


def test_three_boxes_count_what_two_cover_once():
    # Side by side with a third over both: 2 x (2 x 4) of 2 x 16 pixels are covered twice.
    boxes = np.array([[0, 0, 4, 4], [4, 0, 4, 4], [2, 0, 4, 4]], float)[:, None]
    assert box_overlap_rates(boxes, np.ones((3, 1), bool)).tolist() == [16 / 32]


def test_long_videos_of_many_objects_are_cut_into_pieces(monkeypatch):
    rng = np.random.default_rng(0)
    boxes, present = rng.integers(1, 40, (9, 50, 4)).astype(float), rng.random((9, 50)) < 0.7
    whole = box_overlap_rates(boxes, present)
    monkeypatch.setattr("vistrials.data.statistics._MAX_CELLS", 1)
    assert (box_overlap_rates(boxes, present) == whole).all()
    pairs = combinations(range(9), 2)
    assert any(present[a, 0] and present[b, 0] for a, b in pairs) and whole.max() > 0


@given(st.lists(st.integers(0, 20), min_size=1))
def test_summaries_of_counts(values):
    counts = Counter(values)
    assert mean(counts) == pytest.approx(sum(values) / len(values))
    assert quantile(counts, 0.5) == sorted(values)[(len(values) - 1) // 2]
    assert quantile(counts, 1) == max(values)
    assert mean({}) is quantile({}, 0.5) is None


def test_the_order_of_tracks_and_videos_does_not_matter():
    document = small_document()
    before = statistics_of(document)
    document["videos"].reverse()
    document["annotations"].reverse()
    assert statistics_of(document) == before


def run(*arguments: object):
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(argument) for argument in arguments])


def test_the_command_counts_a_file_and_a_folder(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "JPEGImages").mkdir()
    path = tmp_path / "train" / "instances.json"
    path.write_text(json.dumps(small_document()))
    for target, name in ((path, "instances"), (tmp_path, "train/instances")):
        out = tmp_path / "numbers.json"
        result = run("data", "stats", target, "--plot", tmp_path / "plot.png", "--force")
        assert result.exit_code == 0, result.output
        rows = [" ".join(line.split()) for line in result.stdout.splitlines()]
        assert "frames of a video 2 / 3 / 3.0 / 4" in rows
        assert "absent, of frames from first to last 15.4%" in rows
        assert "dog 3" in rows
        written = run("data", "stats", target, "--out", out, "--force")
        assert (written.exit_code, written.stdout) == (0, f"{out}\n"), written.output
        assert json.loads(out.read_text())[name]["track_lengths"] == {"2": 4, "3": 1}
        assert f"number,{name}\n" in run("data", "stats", target, "--format", "csv").stdout
    result = run("data", "stats", tmp_path / "nothing.json")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1


def test_counting_needs_no_torch(tmp_path):
    path = tmp_path / "train.json"
    path.write_text(json.dumps(small_document()))
    code = (
        "import sys; from vistrials.cli import app; "
        f"app(['data', 'stats', {str(path)!r}], standalone_mode=False); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
