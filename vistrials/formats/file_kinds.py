"""Which form a parsed JSON has that was given to the wrong reader, and what reads it."""

from typing import Any

from vistrials.errors import DataError

_SOURCE = "vistrials data convert"
_BARE = "these are predictions, or annotations without their videos and categories"
_ONE_ENTRY_PER_TRACK = "one entry per track with video_id, category_id, score and a segmentation per frame"


def refuse_other_kinds(document: Any, source: str) -> None:
    """Refuse a value that is no annotation file in YouTube-VIS form, if its form is known.

    Raises:
        DataError: says what it is, and what to do.
    """
    if kind := describe_kind(document):
        raise DataError(f"{source}: {kind}; expected a file in YouTube-VIS form")


def describe_kind(document: Any) -> str:
    """What a parsed file is that is no annotation file in YouTube-VIS form, and what reads it; empty where unknown."""
    if isinstance(document, list):
        return _kind_of_list(document)
    if not isinstance(document, dict):
        return ""
    annotation, image, video = (_first(document.get(key)) for key in ("annotations", "images", "videos"))
    if isinstance(document.get("sequences"), list):
        return _to_convert("a BURST file (sequences)", "burst")
    if "masklet" in document:
        return _to_convert("an SA-V file (masklet)", "sa-v")
    if "shapes" in document and "imagePath" in document:
        return _to_convert("a labelme file of one image", "labelme", "its folder")
    if "segments_info" in annotation or "segments_info" in _first(annotation.get("annotations")):
        return _to_convert("a panoptic file, such as VIPSeg's", "vipseg")
    if isinstance(document.get("videos"), dict) and all(isinstance(v, dict) for v in document["videos"].values()):
        return _kind_of_video_names(document["videos"])
    if image or isinstance(document.get("images"), list):
        return _kind_of_coco(annotation, image, video)
    if annotation and "image_id" in annotation:
        return "this is a COCO file without images"
    if "_via_img_metadata" in document or "_via_settings" in document:
        return "this is a project of the VGG Image Annotator, which is not read: export masks or COCO"
    if "framesCount" in document and "frames" in document:
        return "this is a Supervisely annotation, which is not read: export COCO or mask folders"
    if "videos" not in document and document and all(map(_is_davis_semantics, document.values())):
        return _to_convert("DAVIS's list of categories", "davis", "the set's folder")
    for key in ("predictions", "results", "tracks"):
        if "segmentations" in _first(document.get(key)):
            return f"these are predictions inside {key!r}"
    for key in ("data", "dataset", "annotations"):
        if isinstance(document.get(key), dict) and "videos" in document[key]:
            return f"the data set lies inside {key!r}: write its value alone"
    return ""


def tell_kind(document: Any) -> str:
    """The end of a converter's message: what the file is and what reads it; empty where unknown."""
    kind = describe_kind(document)
    if not kind and isinstance(document, dict):
        annotation, video = _first(document.get("annotations")), _first(document.get("videos"))
        if "segmentations" in annotation or "file_names" in video:
            kind = _to_convert(
                "YouTube-VIS form, which needs no conversion unless its frames lie elsewhere", "youtube-vis"
            )
    return f"; {kind}" if kind else ""


def describe_no_predictions(document: Any) -> str:
    """What a parsed file is that holds no predictions; empty where unknown."""
    if isinstance(document, list):
        kind = _kind_of_list(document)
        return "" if kind == _BARE else kind
    if not isinstance(document, dict):
        return ""
    if len(document) > 1 and all(
        isinstance(value, list) and "segmentations" in _first(value) for value in document.values()
    ):
        return "these are predictions by video: write one list of all"
    for key, value in document.items():
        if isinstance(value, list) and "segmentations" in _first(value) and "score" in _first(value):
            return f"the predictions lie inside {key!r}: write its list alone"
    if "segmentations" in _first(document.get("annotations")) or "file_names" in _first(document.get("videos")):
        return "this is an annotation file: give annotations first, then predictions"
    if "segmentations" in document and "video_id" in document:
        return "this is a single prediction: write a list around it"
    return describe_kind(document)


def _kind_of_list(values: list[Any]) -> str:
    first = _first(values)
    if "segmentations" in first:
        return _BARE
    if "image_id" in first:
        what = "boxes" if "segmentation" not in first else "masks"
        return f"these are COCO results, {what} of single images; expected {_ONE_ENTRY_PER_TRACK}"
    if "annotations" in first and "data" in first:
        return "this is an export of Label Studio, which is not read: export COCO or mask folders"
    if "videos" in first and "annotations" in first:
        return "this is a list around an annotation file: write its value alone"
    if values and all(isinstance(value, list) for value in values):
        inner = _first(values[0])
        return "these are predictions in a list per video: write one list of all" if "segmentations" in inner else ""
    return ""


def _kind_of_video_names(videos: dict[str, Any]) -> str:
    video: dict[str, Any] = next(iter(videos.values()), {})
    if "expressions" in video:
        return "this is a list of expressions (Refer-YouTube-VOS, MeViS), without masks"
    return _to_convert("a meta.json of YouTube-VOS", "youtube-vos", "its folder") if "objects" in video else ""


def _kind_of_coco(annotation: dict[str, Any], image: dict[str, Any], video: dict[str, Any]) -> str:
    if "segmentations" in annotation or "file_names" in video:
        return ""
    attributes = annotation.get("attributes")
    if isinstance(attributes, dict) and "track_id" in attributes:
        return _to_convert("CVAT's COCO export (attributes.track_id)", "cvat-coco")
    if video or image.get("video_id") is not None or "track_id" in annotation or "instance_id" in annotation:
        return _to_convert("a COCO file of videos (CocoVID, TAO)", "coco-video")
    return (
        "this is a COCO file of single images, which says of no object that it is the same in two images; "
        "images need video_id and frame_id, annotations instance_id"
    )


def _is_davis_semantics(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(key.isdecimal() and isinstance(name, str) for key, name in value.items())
    )


def _to_convert(what: str, form: str, source: str = "it") -> str:
    return f"this is {what}: convert {source} with `{_SOURCE} {form}`"


def _first(values: Any) -> dict[str, Any]:
    first = values[0] if isinstance(values, list) and values else None
    return first if isinstance(first, dict) else {}
