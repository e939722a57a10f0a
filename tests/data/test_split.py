import json
import random
import shlex
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.data.builders import make_document, make_track, make_video
from tests.video_files import made_videos
from vistrials.cli import app
from vistrials.commands.options import all_overrides
from vistrials.data.sources import resolve_split
from vistrials.data.split import choose_minival, describe_unused, describe_use, split_annotations
from vistrials.errors import DataError
from vistrials.formats.annotations import load_video_set
from vistrials.specs.loading import load_trial

SIZE = (8, 8)


def write(path, categories_of):
    """One track per category of each video."""
    videos = [make_video(video, 1, SIZE) for video in categories_of]
    tracks = [
        make_track(100 * video + category, video, category, [(1, 1, 4, 4)], SIZE)
        for video, categories in categories_of.items()
        for category in categories
    ]
    document = make_document(videos, tracks)
    document["info"] = {"version": "1"}
    path.write_text(json.dumps(document))
    return path


CATEGORIES_OF = {video: [(7, 3, 300)[video % 3]] + ([7] if video % 6 == 1 else []) for video in range(30)}


def test_both_files_together_are_the_input(tmp_path):
    source = write(tmp_path / "train.json", CATEGORIES_OF)
    train, minival = split_annotations(source, fraction=0.2)
    assert (train, minival) == (tmp_path / "minitrain.json", tmp_path / "minival.json")
    whole, first, second = (json.loads(path.read_text()) for path in (source, train, minival))
    for key in ("categories", "info"):
        assert first[key] == second[key] == whole[key]
    for key in ("videos", "annotations"):
        assert sorted(first[key] + second[key], key=str) == sorted(whole[key], key=str)
    assert len(second["videos"]) == 6
    for path in (train, minival):
        video_ids = {video.id for video in load_video_set(path, tmp_path).videos}
        tracks = json.loads(path.read_text())["annotations"]
        assert {track["video_id"] for track in tracks} == video_ids


def test_each_category_gets_its_part(tmp_path):
    minival = choose_minival({video: {video % 3} for video in range(60)}, 0.2, seed=0)
    assert len(minival) == 12
    assert [sum(video % 3 == category for video in minival) for category in range(3)] == [4, 4, 4]


@pytest.mark.parametrize(("count", "fraction", "part"), [(10, 0.25, 3), (10, 0.24, 2), (4, 0.1, 1), (3, 0.9, 2)])
def test_a_part_is_rounded_half_up_and_neither_none_nor_all(count, fraction, part):
    assert len(choose_minival({video: {1} for video in range(count)}, fraction, seed=0)) == part


def test_rare_categories_are_on_both_sides():
    # 50 videos of category 0; categories 1..8 in two videos each, partly together with 0.
    categories_of = {video: {0} for video in range(50)}
    for category in range(1, 9):
        categories_of[100 + category] = {category}
        categories_of[200 + category] = {category, 0}
    minival = choose_minival(categories_of, 0.1, seed=0)
    for category in range(9):
        videos = {video for video, categories in categories_of.items() if category in categories}
        assert 0 < len(videos & minival) < len(videos)


def test_a_category_of_one_video_does_not_empty_a_side():
    assert choose_minival({1: {1}, 2: {2}}, 0.5, 0) in ({1}, {2})
    assert choose_minival({1: {1}, 2: set(), 3: set()}, 0.9, 0) != {1, 2, 3}


def test_train_keeps_a_video_of_every_category_though_minival_gets_too_few():
    # Any two of the three are all videos of a category.
    assert len(choose_minival({1: {1, 2}, 2: {1, 3}, 3: {2, 3}}, 0.67, 0)) == 1


def test_of_splits_without_a_one_sided_category_the_one_of_the_wanted_number():
    # Video 2 alone and 1 with 3 have both categories; two are wanted.
    assert choose_minival({1: {1}, 2: {1, 2}, 3: {2}}, 0.67, 0) == {1, 3}


def test_no_one_sided_category_comes_before_the_wanted_number():
    # Four are wanted: 1, 4, 5, 6 leave category 5 to train; with 2 or 3 there is room for three.
    categories_of = {1: {1}, 2: {1, 2, 5}, 3: {3, 4, 5}, 4: {3}, 5: {2}, 6: {4}}
    assert choose_minival(categories_of, 0.67, 0) in ({2, 4, 6}, {1, 3, 5})


def test_the_order_of_the_file_does_not_matter(tmp_path):
    sides = set()
    for attempt in range(4):
        order = list(CATEGORIES_OF)
        random.Random(attempt).shuffle(order)
        folder = tmp_path / str(attempt)
        folder.mkdir()
        source = write(folder / "train.json", {video: CATEGORIES_OF[video] for video in order})
        _, minival = split_annotations(source, fraction=0.2, seed=3)
        sides.add(frozenset(video["id"] for video in json.loads(minival.read_text())["videos"]))
    assert len(sides) == 1


def test_seeds_differ_and_repeat():
    categories_of = {video: {video % 3} for video in range(60)}
    chosen = [frozenset(choose_minival(categories_of, 0.2, seed)) for seed in (0, 1, 2, 0)]
    assert len(set(chosen)) == 3
    assert chosen[0] == chosen[3]


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.integers(0, 1000), st.sets(st.integers(0, 6), max_size=3), min_size=2, max_size=25),
    st.floats(0.01, 0.99),
    st.integers(0, 5),
)
def test_no_split_is_one_sided(categories_of, fraction, seed):
    minival = choose_minival(categories_of, fraction, seed)
    assert minival < categories_of.keys()
    assert minival
    for category in set().union(*categories_of.values()):
        videos = {video for video, categories in categories_of.items() if category in categories}
        # Train must know what minival asks for.
        assert len(videos) < 2 or not videos <= minival


def test_other_output_folder_and_gzipped_input(tmp_path):
    import gzip

    source = write(tmp_path / "train.json", CATEGORIES_OF)
    packed = tmp_path / "train.json.gz"
    packed.write_bytes(gzip.compress(source.read_bytes()))
    train, minival = split_annotations(packed, out_dir=tmp_path / "new" / "folder")
    assert train.parent == minival.parent == tmp_path / "new" / "folder"
    assert len(json.loads(minival.read_text())["videos"]) == 3


@pytest.mark.parametrize("name", ["minitrain.json", "minival.json"])
def test_files_that_are_there_are_kept_unless_told(name, tmp_path):
    source = write(tmp_path / "train.json", CATEGORIES_OF)
    (tmp_path / name).write_text("made by hand")
    with pytest.raises(DataError, match=rf"^{tmp_path / name}: there already; replace with --force, or .* --out$"):
        split_annotations(source)
    assert (tmp_path / name).read_text() == "made by hand"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["train.json", name])
    train, minival = split_annotations(source, replace=True)
    assert [len(json.loads(path.read_text())["videos"]) for path in (train, minival)] == [27, 3]
    with pytest.raises(DataError, match=r"minitrain.json and .*minival.json: there already"):
        split_annotations(source, seed=1)


def files_of_runs(root, *overrides):
    """The annotation files that a run with --data takes, as `describe_use` should say."""
    data = load_trial("baseline", "youtube_vis_2019", [*all_overrides(root, None, None), *overrides]).data
    return [resolve_split(data, split).annotations for split in ("train", "valid")]


def test_what_runs_use_from_now_on(tmp_path):
    source = write(tmp_path / "train.json", CATEGORIES_OF)
    (tmp_path / "JPEGImages").mkdir()
    assert describe_use(*split_annotations(source)) == [
        f"runs with --data {tmp_path} from now on train on minitrain.json (not train.json) and score on minival.json"
    ]
    shutil.copy(source, tmp_path / "valid.json")
    outputs = split_annotations(source, replace=True)
    assert describe_use(*outputs) == [
        f"runs with --data {tmp_path} from now on train on minitrain.json (not train.json) "
        "and score on minival.json (not valid.json)"
    ]
    assert files_of_runs(tmp_path) == list(outputs)


def test_an_older_split_that_runs_go_on_to_use_is_named(tmp_path):
    (tmp_path / "train" / "JPEGImages").mkdir(parents=True)
    source = write(tmp_path / "train" / "instances.json", CATEGORIES_OF)
    shutil.copy(source, tmp_path / "minitrain.json")
    inner, outer = describe_use(*split_annotations(source))
    assert inner == (
        f"runs with --data {tmp_path / 'train'} from now on train on minitrain.json and score on minival.json"
    )
    assert outer == (
        f"runs with --data {tmp_path} from now on train on minitrain.json (not train/minitrain.json, "
        "train/instances.json) and score on train/minival.json"
    )
    assert files_of_runs(tmp_path) == [tmp_path / "minitrain.json", tmp_path / "train" / "minival.json"]


def test_a_new_file_that_runs_do_not_take_is_named(tmp_path):
    source = write(tmp_path / "train.json", CATEGORIES_OF)
    valid = shutil.copy(source, tmp_path / "valid.json")
    (tmp_path / "JPEGImages").mkdir()
    assert describe_unused(source) is None and describe_unused(valid) is None
    minitrain, minival = split_annotations(source)
    assert describe_unused(valid) == f"runs with --data {tmp_path} go on to score on minival.json, not valid.json, " + (
        "while it is there"
    )
    assert "go on to train on minitrain.json, not train.json" in describe_unused(source)
    assert describe_unused(minival) is None and describe_unused(tmp_path / "other.json") is None
    assert files_of_runs(tmp_path) == [minitrain, minival]


def test_the_command_that_converts_names_it(tmp_path):
    said = []
    for name, split in (("a", "minival"), ("b", "valid")):
        video = made_videos.make_video(tmp_path / f"{name}.mp4", 2)
        words = ["data", "convert", "video", str(video), "-o", str(tmp_path / "out"), "--split", split]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.stderr
        said.append("go on to score on minival.json, not valid.json" in " ".join(done.stderr.split()))
    assert said == [False, True]


def test_without_frames_the_files_have_to_be_named(tmp_path):
    source = write(tmp_path / "train.json", CATEGORIES_OF)
    (tmp_path / "JPEGImages").mkdir()
    outputs = split_annotations(source, out_dir=tmp_path / "a, b")
    [line] = describe_use(*outputs)
    assert "a, b: no frames there, so runs do not find the two files by themselves; name them with --set" in line
    words = shlex.split(line[line.index("--set") :])
    assert words[::2] == ["--set", "--set"]
    assert files_of_runs(tmp_path, *words[1::2]) == list(outputs)


def test_refusals(tmp_path):
    source = write(tmp_path / "train.json", CATEGORIES_OF)
    for fraction in (0, 1, -1, float("nan")):
        with pytest.raises(DataError, match="expected a number between 0 and 1"):
            split_annotations(source, fraction=fraction)
    with pytest.raises(DataError, match="at least 2 videos, found 1"):
        split_annotations(write(tmp_path / "one.json", {1: [7]}))
    shutil.copy(source, tmp_path / "minitrain.json")
    with pytest.raises(DataError, match="would replace it; choose another output folder"):
        split_annotations(tmp_path / "minitrain.json")
    with pytest.raises(DataError, match="no annotations"):
        split_annotations(write(tmp_path / "none.json", {1: [], 2: []}), replace=True)
