import json
from typing import Any

import pytest

from vistrials.data.convert.burst import read_burst
from vistrials.data.convert.coco_video import read_coco_video
from vistrials.data.convert.cvat_coco import read_cvat_coco
from vistrials.data.convert.youtube_vis import read_youtube_vis
from vistrials.errors import DataError

FORMS = {
    "burst": {"sequences": [], "categories": []},
    "sa-v": {"masklet": [], "video_id": "sav_1"},
    "labelme": {"shapes": [], "imagePath": "a.jpg"},
    "youtube-vos": {"videos": {"a": {"objects": {}}}},
    "vipseg": {"videos": [], "annotations": [{"annotations": [{"segments_info": []}]}], "categories": []},
    "youtube-vis": {"videos": [{"id": 1, "file_names": []}], "annotations": [{"id": 1, "segmentations": []}]},
    "cvat-coco": {"images": [{"id": 1}], "annotations": [{"id": 1, "attributes": {"track_id": 3}}]},
    "coco-video": {"images": [{"id": 1}], "annotations": [{"id": 1, "track_id": 3}]},
}


@pytest.mark.parametrize(
    ("reader", "own"),
    [
        (read_burst, ("burst",)),
        (read_coco_video, ("coco-video", "cvat-coco")),
        (read_cvat_coco, ("coco-video", "cvat-coco")),
    ],
)
@pytest.mark.parametrize("kind", FORMS)
def test_a_file_of_another_form_is_told_where_to_go(tmp_path, reader: Any, own: tuple[str, ...], kind: str):
    if kind in own:
        return
    path = tmp_path / "file.json"
    path.write_text(json.dumps(FORMS[kind]))
    with pytest.raises(DataError, match=f"; this is .*: convert .* with `vistrials data convert {kind}`$") as caught:
        reader(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["burst", "coco-video", "cvat-coco"])
def test_the_reader_of_youtube_vis_says_it_too(tmp_path, kind):
    (tmp_path / "file.json").write_text(json.dumps(FORMS[kind]))
    with pytest.raises(DataError, match=f"; this is .*: convert .* with `vistrials data convert {kind}`$"):
        read_youtube_vis(tmp_path / "file.json")


def test_predictions_and_strangers(tmp_path):
    path = tmp_path / "file.json"
    path.write_text(json.dumps([{"video_id": 1, "segmentations": []}]))
    with pytest.raises(DataError, match="; these are predictions, or annotations without their videos and categories$"):
        read_burst(path)
    path.write_text("{}")
    with pytest.raises(DataError, match="sequences and categories$"):
        read_burst(path)
