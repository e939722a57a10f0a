"""Files that are broken or meant to break the program: a result, or one line that names the file. Nothing else."""

import copy
import gzip
import json
import math
import random
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.evaluation.building import ground_truth, prediction, strip, truth
from vistrials.errors import DataError, VistrialsError
from vistrials.evaluation import reading
from vistrials.evaluation.youtube_vis import evaluate_files
from vistrials.formats import json_file

TRUTH = ground_truth(
    [truth([strip(0, 10), None]), truth([strip(20, 40), strip(30, 60)], video=2, category=2, crowd=1)],
    num_videos=2,
    num_categories=2,
    num_frames=2,
)
PREDICTIONS = [
    prediction([strip(0, 10), strip(5, 9)], 0.9),
    prediction([[[0, 0, 9, 0, 9, 1, 0, 1]], None], 0.5),
    prediction([{"size": [1, 100], "counts": [10, 20, 70]}, strip(3, 4)], 0.25, video=2, category=2),
]


def refusal(folder, truths=None, predictions=None):
    """The message of a pair of files, each given as a value, text or bytes; sound where not given."""
    for name, content, sound in (("truth.json", truths, TRUTH), ("predictions.json", predictions, PREDICTIONS)):
        (folder / name).write_bytes(as_bytes(sound if content is None else content))
    with pytest.raises(DataError) as error:
        evaluate_files(folder / "truth.json", folder / "predictions.json")
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 400
    assert "truth.json" in message or "predictions.json" in message
    return message


def as_bytes(content):
    if isinstance(content, bytes):
        return content
    return (content if isinstance(content, str) else json.dumps(content)).encode()


def with_mask(**changes):
    changed = copy.deepcopy(PREDICTIONS)
    changed[0]["segmentations"][1] |= changes
    return changed


def test_the_sound_files_are_sound(tmp_path):
    (tmp_path / "truth.json").write_bytes(as_bytes(TRUTH))
    (tmp_path / "predictions.json.gz").write_bytes(gzip.compress(as_bytes(PREDICTIONS)))
    assert evaluate_files(tmp_path / "truth.json", tmp_path / "predictions.json.gz").figures["AP50"] == pytest.approx(1)


TEXT = json.dumps(PREDICTIONS)


@pytest.mark.parametrize(
    ("predictions", "expected"),
    [
        (TEXT[: len(TEXT) // 2], "JSON cut short"),
        (TEXT[:-1], "JSON cut short"),
        (TEXT.replace(":", ";", 1), "not valid JSON: Expecting ':' delimiter at line 1 column 13"),
        (TEXT.encode("utf-16-le"), "not valid JSON"),
        (TEXT.replace("video", "vidéo").encode("latin-1"), "is not UTF-8; expected .json or .json.gz, saved as UTF-8"),
        (gzip.compress(TEXT.encode())[:-20], "gzip cut short"),
        (b"", "the file is empty"),
        (b"\0" * 1000, "not valid JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('[{"video_id": ' + "[" * 100_000, "nested too deeply"),
        (TEXT.replace("null", "[" * 100_000 + "]" * 100_000), "nested too deeply"),
        (TEXT.replace("0.9", "NaN"), "predictions[0]: score is nan; expected a finite number"),
        (TEXT.replace("0.9", "-Infinity"), "predictions[0]: score is -inf; expected a finite number"),
        (TEXT.replace("0.9", "1e999"), "predictions[0]: score is inf; expected a finite number"),
        (TEXT.replace("0.9", "1" * 400), "predictions[0]: score is 111"),
        (TEXT.replace("0.9", "[]"), "predictions[0]: score is []; expected a number"),
        (TEXT.replace("0.9", '"0.9"'), "predictions[0]: score is '0.9'; expected a number"),
        ("7", "predictions are 7; expected a list"),
        ({"predictions": []}, "predictions are an object; expected a list"),
        ([[]], "predictions[0]: is a list; expected an object"),
        ([{}], "predictions[0]: has no 'video_id'; found no keys"),
        ([*PREDICTIONS, None], "predictions[3]: is null; expected an object"),
        ([prediction([], 0.5, video=3)], "predictions[0]: video_id 3 is not in the ground truth, which has 1, 2"),
        ([prediction([], 0.5, video=10**30)], "predictions[0]: video_id 1000"),
        ([prediction([], 0.5, category=0)], "predictions[0]: category_id 0 is not in the ground truth"),
        ([prediction({}, 0.5)], "predictions[0]: segmentations is an object; expected a list"),
        ([prediction(None, 0.5)], "predictions[0]: segmentations is null; expected a list"),
        ([prediction([1], 0.5)], "predictions[0] segmentations[0]: a segmentation is int"),
        (
            TEXT.replace('"counts": "', '"counts": "\\ud800', 1),
            "predictions[0] segmentations[0]: counts hold a charact",
        ),
        (with_mask(size=[1, 10**9]), "predictions[0] segmentations[1]: size is [1, 1000000000]; expected positive"),
        (with_mask(size=[31623, 31623]), "at most 268435456 pixels"),
        (with_mask(size=[10**30, 10**30]), "at most 268435456 pixels"),
        (with_mask(size=[1.5, 100]), "expected two whole numbers of pixels"),
        (with_mask(size=[1, 100, 1]), "size is [1, 100, 1]; expected [height, width]"),
        (with_mask(counts="P" * 100_000), "the string is cut short"),
        (with_mask(counts="o" * 100_000 + "0"), "a number beyond any image size"),
        (with_mask(counts="0" * 100_000), "the runs sum to 0 pixels"),
        (with_mask(counts=[0] * 100_000), "the runs sum to 0 pixels"),
        (with_mask(counts=[10**18, -(10**18), 100]), "a run that is negative or longer than the image"),
        (with_mask(counts=[50.5, 49.5]), "other things than whole numbers"),
        (with_mask(counts={"a": 1}), "counts are dict"),
    ],
)
def test_bad_predictions_are_one_line(tmp_path, predictions, expected):
    assert expected in refusal(tmp_path, predictions=predictions)


def changed_truth(kind, index, **changes):
    value = copy.deepcopy(TRUTH)
    value[kind][index] |= changes
    return value


@pytest.mark.parametrize(
    ("truths", "expected"),
    [
        ([], "ground truth: expected an object with videos"),
        ({}, "ground truth: key 'categories' is missing"),
        ({**TRUTH, "annotations": {}}, "ground truth: annotations is an object; expected a list"),
        (changed_truth("annotations", 1, id=1), "annotations[1]: annotation id 1 occurs more than once"),
        (changed_truth("videos", 1, id=1), "ground truth: videos[1]: video id 1 occurs more than once"),
        (changed_truth("categories", 1, id=1), "ground truth: categories[1]: category id 1 occurs more than once"),
        (changed_truth("annotations", 0, video_id=9), "annotation 1 (video 9): video_id 9 is not among the videos"),
        (changed_truth("annotations", 0, areas=[-5, None]), "areas[0] is -5; expected pixels, or null"),
        (changed_truth("annotations", 0, areas=[math.nan, None]), "areas[0] is nan; expected a number of pixels"),
        (changed_truth("annotations", 0, areas=7), "annotation 1 (video 1): areas is 7; expected a list"),
        (changed_truth("annotations", 0, iscrowd=2), "annotation 1 (video 1): iscrowd is 2; expected 0 or 1"),
        (changed_truth("annotations", 0, iscrowd="0"), "annotation 1 (video 1): iscrowd is '0'; expected 0 or 1"),
        (changed_truth("videos", 0, height=-1), "ground truth: video 1: height is -1; expected pixels"),
        (changed_truth("videos", 0, height=[1]), "ground truth: video 1: height is [1]; expected pixels"),
        (changed_truth("videos", 0, length="2"), "ground truth: video 1: length is '2'; expected a number of frames"),
    ],
)
def test_bad_ground_truth_is_one_line(tmp_path, truths, expected):
    assert expected in refusal(tmp_path, truths=truths)


def test_polygons_of_a_video_of_a_billion_pixels_are_refused(tmp_path):
    truths = changed_truth("videos", 0, height=40_000, width=40_000)
    assert "video 1: 40000 x 40000 pixels; expected at most" in refusal(tmp_path, truths, PREDICTIONS[1:])


def test_the_masks_of_a_track_are_refused_if_they_are_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MAX_PACKED", 40)
    assert "predictions[0]: segmentations take more than" in refusal(tmp_path, TRUTH | {"annotations": []})


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_is_refused_if_it_is_too_long_unpacked(tmp_path, monkeypatch, pack):
    monkeypatch.setattr(json_file, "MAX_PACKED_TEXT", 2000)
    assert "predictions.json: more than" in refusal(tmp_path, predictions=pack(b" " * 2000 + b"[]"))


@pytest.mark.parametrize(
    ("predictions", "expected"),
    [
        (TEXT.replace('"score": 0.9, ', ""), "not of the expected form: Object missing required field score - at $[0]"),
        (TEXT.replace("0.9", "[]"), "not of the expected form: Expected bool | int | float | str | null, got array"),
        (TEXT[:-1], "JSON cut short"),
        (TEXT.replace("0.9", "NaN"), "not valid JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('[{"video_id": 1, "segmentations": ' + "[" * 100_000, "nested too deeply"),
    ],
)
def test_a_large_file_is_not_read_a_second_time_to_say_where_it_is_broken(tmp_path, monkeypatch, predictions, expected):
    (tmp_path / "truth.json").write_bytes(as_bytes(TRUTH))
    monkeypatch.setattr(json_file, "_MAX_EXPLAINED", 10)
    assert expected in refusal(tmp_path, predictions=predictions)


# --- mutations of sound files: a result or one line

HOSTILE = [None, True, 0, 1, -1, 2, 10**9, 10**30, 1e300, -0.5, math.nan, math.inf, "", "1", "~", [], {}, [[]], [None]]
BYTES = [as_bytes(TRUTH), as_bytes(PREDICTIONS)]


def places(value, path=()):
    """The paths to all values inside a value."""
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


def with_changed_value(value, rng):
    """One value replaced, removed or repeated."""
    value = copy.deepcopy(value)
    *way, last = rng.choice([path for path in places(value) if path])
    holder = value
    for key in way:
        holder = holder[key]
    kind = rng.randrange(6)
    if kind == 0:
        del holder[last]
    elif kind == 1 and isinstance(holder, list):
        holder.insert(last, copy.deepcopy(holder[last]))
    elif kind == 2 and isinstance(holder[last], str) and holder[last]:
        text, at = holder[last], rng.randrange(len(holder[last]))
        holder[last] = text[:at] + chr(rng.randrange(32, 128)) + text[at + rng.randrange(2) :]
    elif kind == 3 and isinstance(holder[last], int):
        holder[last] += rng.choice([-1, 1, 2**31, 2**63])
    else:
        holder[last] = copy.deepcopy(rng.choice(HOSTILE))
    return value


def with_changed_bytes(text, rng):
    """A few bytes changed, removed, added, repeated, or the end cut off."""
    text = bytearray(text)
    for _ in range(rng.randrange(1, 4)):
        at, length = rng.randrange(len(text) + 1), rng.choice([1, 1, 2, 10, 1000])
        kind = rng.randrange(5)
        if kind == 0:
            del text[at : at + length]
        elif kind == 1:
            text[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 2:
            text[at:at] = text[at : at + length]
        elif kind == 3:
            text[at:at] = rng.choice(
                [b"[", b"]", b"{", b"}", b'"', b",", b"0", b"-", b"NaN", b"1e9", b"\\", b"null", b"\xff"]
            )
        else:
            del text[at:]
    return bytes(text)


def mutated(seed):
    """Annotation and prediction files of which one is changed."""
    rng = random.Random(seed)
    contents = [TRUTH, PREDICTIONS]
    which = rng.randrange(2)
    if rng.random() < 0.7:
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            contents[which] = with_changed_value(contents[which], rng) or contents[which]
        return [as_bytes(content) for content in contents]
    texts = [as_bytes(content) for content in contents]
    texts[which] = with_changed_bytes(texts[which], rng)
    return texts


def assert_survived(folder, seed):
    for name, text in zip(("truth.json", "predictions.json"), mutated(seed), strict=True):
        (folder / name).write_bytes(text)
    try:
        result = evaluate_files(folder / "truth.json", folder / "predictions.json", strict=seed % 4 == 0)
    except VistrialsError as error:
        assert "\n" not in str(error)
        assert str(folder) in str(error)
    else:
        assert all(-1 <= figure <= 1 for figure in result.figures.values())
        json.dumps(result.to_dict(), allow_nan=False)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32))
def test_a_mutated_file_ends_in_a_result_or_one_line(tmp_path, seed):
    assert_survived(tmp_path, seed)


@pytest.mark.slow
def test_many_mutated_files_end_in_a_result_or_one_line(tmp_path):
    for seed in range(20_000):
        assert_survived(tmp_path, seed)


# --- memory

MEASURE = """
import resource, sys
from vistrials.errors import VistrialsError
from vistrials.evaluation.youtube_vis import evaluate_files
try:
    evaluate_files(sys.argv[1], sys.argv[2])
except VistrialsError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (2**10 if sys.platform == "darwin" else 1) // 2**10)
"""


def write_large(path, head, part, tail, size):
    """About `size` bytes: a head, as many parts as fit, and a tail."""
    block = part * (2**20 // len(part) + 1)
    with path.open("wb") as file:
        file.write(head)
        for _ in range(size // len(block)):
            file.write(block)
        file.write(tail)


ENTRY = as_bytes(PREDICTIONS[0])
LARGE = {
    "zeros": (b"", b"\0", b"", "not valid JSON"),
    "brackets": (b"", b"[", b"", "expected form"),
    "numbers": (b"[", b"0,", b"0]", "expected form"),
    "empty objects": (b"[", b"{},", b"{}]", "expected form"),
    "empty lists": (b"[", b"[],", b"[]]", "expected form"),
    "one text": (b'["', b"a", b'"]', "expected form"),
    "blanks": (b"[", b" ", b"", "cut short"),
    "a long track": (ENTRY[:-1].join([b"[", b""])[: -len(b"]")] + b",", b"null,", b"null]}]", "more than 32 MiB"),
    "unknown keys": (b'[{"x": [', b"[],", b"[]]}]", "missing required field"),
    "an unknown video": (b"[", as_bytes(prediction([None] * 100, 0.5, video=9)) + b",", b"{}]", "missing required"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", LARGE)
def test_a_file_of_a_gigabyte_takes_little_more_memory_than_its_size(tmp_path, kind):
    head, part, tail, expected = LARGE[kind]
    size = 2**30
    write_large(tmp_path / "predictions.json", head, part, tail, size)
    (tmp_path / "truth.json").write_bytes(as_bytes(TRUTH))
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "truth.json"), str(tmp_path / "predictions.json")]
    message, peak_mib = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert expected in message
    assert int(peak_mib) < 4 * size // 2**20
