"""Which form a parsed JSON has, so that a file given to the wrong reader is told where to go."""

from typing import Any


def describe_form(document: Any) -> str:
    """The end of a message: what the file is and what reads it; empty where that is not known."""
    kind, name = _recognise(document)
    if not kind:
        return ""
    if kind == "predictions":
        return f"; these are {name}, which `vistrials data export` turns into other forms"
    return f"; this is {name}: convert it as {kind}"


def _recognise(document: Any) -> tuple[str, str]:
    """Kind, and name for messages."""
    if isinstance(document, list):
        return ("predictions", "predictions") if "segmentations" in _first(document) else ("", "")
    if not isinstance(document, dict):
        return "", ""
    annotation = _first(document.get("annotations"))
    if isinstance(document.get("sequences"), list):
        return "burst", "a file of BURST"
    if "masklet" in document:
        return "sa-v FOLDER", "a file of SA-V"
    if "shapes" in document and "imagePath" in document:
        return "labelme FOLDER", "a file of labelme"
    if isinstance(document.get("videos"), dict):
        return "youtube-vos FOLDER", "meta.json of YouTube-VOS"
    if "segments_info" in annotation or "annotations" in annotation:
        return "vipseg FOLDER", "a panoptic file, such as VIPSeg's"
    if "segmentations" in annotation or "file_names" in _first(document.get("videos")):
        return "youtube-vis", "YouTube-VIS form, which needs no conversion unless its frames lie elsewhere"
    if isinstance(document.get("images"), list) and annotation:
        attributes = annotation.get("attributes")
        if isinstance(attributes, dict) and "track_id" in attributes:
            return "cvat-coco", "CVAT's COCO export"
        return "coco-video", "COCO's form"
    return "", ""


def _first(records: Any) -> dict[str, Any]:
    first = records[0] if isinstance(records, list) and records else None
    return first if isinstance(first, dict) else {}
