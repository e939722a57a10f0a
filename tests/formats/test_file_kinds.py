"""Files of other forms: at each door one line that says what they are and what reads them."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.builders import small_document
from tests.formats.test_annotation_doors import doors
from vistrials.data.check.dataset import check_dataset
from vistrials.errors import DataError
from vistrials.evaluation.youtube_vis import evaluate_files
from vistrials.formats import json_file
from vistrials.formats.annotations import load_video_set
from vistrials.formats.json_file import load_json, load_outline

RLE = {"size": [4, 4], "counts": "44T1"}
COCO = {
    "images": [{"id": 1, "file_name": "1.jpg", "height": 4, "width": 4}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": RLE}],
    "categories": [{"id": 1, "name": "cat"}],
}


def with_first(key: str, **changes: Any) -> dict[str, Any]:
    return {**COCO, key: [{**COCO[key][0], **changes}]}


KINDS: dict[str, tuple[Any, str]] = {
    "COCO": (COCO, "a COCO file of single images"),
    "CocoVID": ({**with_first("images", video_id=1, frame_id=0), "videos": [{"id": 1}]}, "data convert coco-video"),
    "CocoVID without videos": (with_first("images", video_id=1), "data convert coco-video"),
    "TAO": ({**with_first("annotations", track_id=1), "tracks": [{"id": 1}]}, "data convert coco-video"),
    "CVAT's COCO": (with_first("annotations", attributes={"track_id": 3}), "data convert cvat-coco"),
    "BURST": ({"sequences": [{"segmentations": []}], "split": "val"}, "data convert burst"),
    "SA-V": ({"video_id": "sav_1", "masklet": [[RLE]], "masklet_id": [0]}, "data convert sa-v"),
    "labelme": ({"shapes": [], "imagePath": "1.jpg", "imageHeight": 4}, "data convert labelme"),
    "VIPSeg": (
        {"videos": [{"video_id": "a"}], "annotations": [{"video_id": "a", "annotations": [{"segments_info": []}]}]},
        "data convert vipseg",
    ),
    "panoptic": ({"images": [], "annotations": [{"segments_info": []}], "categories": []}, "data convert vipseg"),
    "YouTube-VOS": ({"videos": {"003234": {"objects": {"1": {"category": "cat"}}}}}, "data convert youtube-vos"),
    "expressions": ({"videos": {"003234": {"expressions": {"0": {"exp": "a cat"}}}}}, "expressions"),
    "DAVIS": ({"bear": {"1": "bear"}, "dogs": {"1": "dog", "2": "dog"}}, "data convert davis"),
    "COCO results": ([{"image_id": 1, "category_id": 1, "score": 0.5, "segmentation": RLE}], "COCO results, masks"),
    "COCO boxes": ([{"image_id": 1, "category_id": 1, "score": 0.5, "bbox": [0, 0, 1, 1]}], "COCO results, boxes"),
    "VIA": ({"_via_settings": {}, "_via_img_metadata": {}}, "VGG Image Annotator"),
    "Supervisely": ({"framesCount": 3, "frames": [], "objects": []}, "Supervisely"),
    "Label Studio": ([{"id": 1, "annotations": [], "data": {"video": "a.mp4"}}], "Label Studio"),
    "wrapped": ({"data": small_document()}, "the data set lies inside 'data'"),
    "in a list": ([small_document()], "a list around an annotation file"),
    "predictions": ([{"video_id": 5, "category_id": 7, "score": 1, "segmentations": []}], "these are predictions"),
}

PREDICTION = {"video_id": 5, "category_id": 7, "score": 0.5, "segmentations": [None, None]}

NO_PREDICTIONS: dict[str, tuple[Any, str]] = {
    "annotations": (small_document(), "an annotation file: give annotations first, then predictions"),
    "COCO results": (KINDS["COCO results"][0], "expected one entry per track with video_id"),
    "wrapped": ({"predictions": [PREDICTION]}, "inside 'predictions'"),
    "annotations key": ({"annotations": [PREDICTION]}, "inside 'annotations'"),
    "alone": (PREDICTION, "a single prediction: write a list around it"),
    "list per video": ([[PREDICTION], [PREDICTION]], "in a list per video"),
    "by video": ({"5": [PREDICTION], "41": [PREDICTION]}, "predictions by video: write one list"),
    "BURST": (KINDS["BURST"][0], "data convert burst"),
    "COCO": (COCO, "a COCO file of single images"),
}

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123\n"
CONTENTS: dict[str, tuple[bytes, str]] = {
    "LFS pointer": (LFS, "a git-LFS pointer to a file of 123 bytes: fetch it with `git lfs pull`"),
    "annex pointer": (b"../.git/annex/objects/Xk/3p/MD5E-s9--ab.json/MD5E-s9--ab.json\n", "git annex get"),
    "HTML": (b"<!DOCTYPE html><html><head><title>Quota exceeded</title></head></html>", "page ('Quota exceeded')"),
    "HTML without a title": (b"\n <html><body>sign in</body></html>", "an HTML page: the download gave a page"),
    "server's XML": (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>', "a server's XML message"),
    "CVAT": (b'<?xml version="1.0"?>\n<annotations>\n<version>1.1</version>', "data convert cvat"),
    "message": (b"Entry not found", "a server's message ('Entry not found')"),
    "MOTS": (b"1 2001 2 480 640 WSV:2d;1O10000O10000\n1 2002 2 480 640 W\n", "data convert mots"),
    "MOT": (b"1,1,912,484,97,109,0,7,1\n", "boxes (MOTChallenge), without masks"),
    "ZIP": (b"PK\x03\x04" + bytes(40), "a ZIP archive: unpack it"),
    "tar": (bytes(257) + b"ustar\x0000" + bytes(100), "a tar archive"),
    "xz": (b"\xfd7zXZ\x00" + bytes(40), "an xz file"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(20), "a PNG image"),
    "pickle": (b"\x80\x04\x95" + bytes(20), "a pickle of Python objects"),
    "safetensors": (b"\x40\x00\x00\x00\x00\x00\x00\x00{" + bytes(20), "a safetensors file"),
    "JSON lines": (b'{"a": 1}\n{"a": 2}\n', "`jq -s . FILE`"),
    "Python": (b"{'videos': []}", "write it with json.dump"),
    "comma at the end": (b'{"videos": [1, 2,]}', "trailing comma|take out the comma"),
    "Latin-1": ('{"name": "Bär"}'.encode("latin-1"), "saved as UTF-8"),
    "empty": (b"", "the file is empty"),
}


@pytest.mark.parametrize("case", KINDS)
def test_a_file_of_another_form_is_named_at_every_door(tmp_path: Path, case: str) -> None:
    document, expected = KINDS[case]
    said = doors(document, tmp_path)
    for door, text in said.items():
        assert text and expected in text and "\n" not in text, (door, text)


@pytest.mark.parametrize("case", KINDS)
def test_a_large_file_of_another_form_is_named_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    document, expected = KINDS[case]
    monkeypatch.setattr(json_file, "_MAX_EXPLAINED", 10)
    (tmp_path / "truth.json").write_text(json.dumps(document))
    (tmp_path / "predictions.json").write_text("[]")
    with pytest.raises(DataError) as error:
        evaluate_files(tmp_path / "truth.json", tmp_path / "predictions.json")
    assert expected in str(error.value)


@pytest.mark.parametrize("case", NO_PREDICTIONS)
def test_what_holds_no_predictions_is_named(tmp_path: Path, case: str) -> None:
    document, expected = NO_PREDICTIONS[case]
    (tmp_path / "truth.json").write_text(json.dumps(small_document()))
    (tmp_path / "found.json").write_text(json.dumps(document))
    with pytest.raises(DataError) as error:
        evaluate_files(tmp_path / "truth.json", tmp_path / "found.json")
    assert expected in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("case", CONTENTS)
def test_a_file_that_is_no_json_is_named(tmp_path: Path, case: str, zipped: bool) -> None:
    content, expected = CONTENTS[case]
    path = tmp_path / "truth.json"
    path.write_bytes(gzip.compress(content) if zipped else content)
    for door in (load_json, lambda path: load_video_set(path, tmp_path), lambda path: check_dataset(path, None)):
        with pytest.raises(DataError) as error:
            door(path)
        text = str(error.value)
        assert any(words in text for words in expected.split("|")) and "\n" not in text, text
        assert text.startswith(str(path))


def test_text_of_a_windows_shell_is_read(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    path.write_bytes(json.dumps(small_document()).encode("utf-16"))
    assert load_json(path) == small_document()


@pytest.mark.parametrize("plain", [small_document(), {"videos": []}, {}, [], [1], "text", None, {"a": [1]}])
def test_nothing_is_said_of_what_is_not_known(tmp_path: Path, plain: Any) -> None:
    (tmp_path / "truth.json").write_text(json.dumps(plain))
    problems = check_dataset(tmp_path / "truth.json", None).problems
    assert not any(words in example for problem in problems for example in problem.examples for words in ("this is",))


def test_images_beside_videos_of_this_form_do_not_matter(tmp_path: Path) -> None:
    assert set(doors(small_document() | {"images": [{"id": 1}]}, tmp_path).values()) == {None}
    (tmp_path / "valid.json").write_text(json.dumps(small_document() | {"images": [{"id": 1}], "annotations": None}))
    assert check_dataset(tmp_path / "valid.json", None, require_annotations=False).ok


def test_an_outline_shows_the_first_entries(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"a": [{"b": [1, 2]}, 3], "c": {"d": [4, 5]}, "e": 6, "f": []}')
    assert load_outline(path) == {"a": [{"b": [1, 2]}], "c": {"d": [4, 5]}, "e": 6, "f": []}
    path.write_text("[[1, 2], 3]")
    assert load_outline(path) == [[1]]


WHOLE = [
    ("videos", "id"),
    ("videos", "height"),
    ("videos", "width"),
    ("videos", "length"),
    ("categories", "id"),
    ("annotations", "id"),
    ("annotations", "video_id"),
    ("annotations", "category_id"),
    ("annotations", "iscrowd"),
]


@pytest.mark.parametrize(("key", "field"), WHOLE)
def test_whole_floats_are_whole_numbers_at_every_door(tmp_path: Path, key: str, field: str) -> None:
    document = small_document()
    for record in document[key]:
        record[field] = float(record[field])
    assert set(doors(document, tmp_path).values()) == {None}
    found = load_video_set(tmp_path / "truth.json", tmp_path)
    assert found == load_video_set_of(small_document(), tmp_path)
    assert all(type(video.id) is int and type(video.height) is int for video in found.videos)
    assert all(type(track.id) is int for video in found.videos for track in video.tracks)
    assert all(type(category.id) is int for category in found.categories)


@pytest.mark.parametrize(("key", "field"), [pair for pair in WHOLE if pair[1] != "iscrowd"])
def test_numbers_in_quotes_are_refused_with_the_cure(tmp_path: Path, key: str, field: str) -> None:
    document = small_document()
    document[key][0][field] = str(document[key][0][field])
    for door, text in doors(document, tmp_path).items():
        if door != "evaluation" or field != "length":  # file names say the length there
            assert text and "write the number without quotes" in text, (door, text)


def load_video_set_of(document: dict[str, Any], folder: Path) -> Any:
    path = folder / "ints.json"
    path.write_text(json.dumps(document))
    return load_video_set(path, folder)
