"""Files as people really write them: the right value, or one line with a cure; none silent.

Each variant changes one thing in a small set whose truth is known: four frames of 64 x 48 pixels, an object of 20 x 12
that moves by (5, 2) a frame.
"""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.data.convert.other_forms import records, write_frame, write_values
from vistrials.cli import app

HEIGHT, WIDTH = 48, 64
NUM_FRAMES = 4
BOXES = [(6 + 5 * frame, 8 + 2 * frame, 20, 12) for frame in range(NUM_FRAMES)]

Document = dict[str, Any]
Change = Callable[[Document], None]


def corners(x: float, y: float, w: float, h: float) -> list[list[float]]:
    return [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]


def flat(points: list[list[float]]) -> list[float]:
    return [value for point in points for value in point]


def convert(kind: str, source: Path, out: Path, *options: str) -> tuple[int, str]:
    """Exit code, and what is said, in one line for a refusal."""
    result = CliRunner(env={"COLUMNS": "1000"}).invoke(
        app, ["data", "convert", kind, str(source), "-o", str(out), *options]
    )
    said = result.output
    if result.exit_code:
        assert result.exit_code == 2 and said.count("\n") == 1 and said.startswith("error: "), said
        assert not out.exists()
    return result.exit_code, said


def boxes_of(out: Path) -> list[list[tuple[float, ...] | None]]:
    """The boxes of the tracks, of those computed from masks."""
    return [[box and tuple(box) for box in track["bboxes"]] for track in records(out / "train.json")]


def assert_outcome(outcome: str, code: int, said: str, out: Path) -> None:
    """`right` means the boxes of the truth and not a word; other outcomes begin with `refused: ` or `said: `."""
    kind, _, told = outcome.partition(": ")
    assert (code == 2) == (kind == "refused"), said
    if kind == "right":
        assert boxes_of(out) == [BOXES]
        assert len(said.strip().splitlines()) == 1, said
    else:
        assert told in said


# --- COCO with videos


def coco() -> Document:
    return {
        "videos": [{"id": 1, "name": "clip"}],
        "categories": [{"id": 1, "name": "cat"}],
        "images": [
            {"id": f + 1, "video_id": 1, "frame_id": f, "file_name": f"{f}.png", "width": WIDTH, "height": HEIGHT}
            for f in range(NUM_FRAMES)
        ],
        "annotations": [
            {
                "id": f + 1,
                "image_id": f + 1,
                "category_id": 1,
                "instance_id": 7,
                "segmentation": [flat(corners(*box))],
                "bbox": list(box),
                "area": 240,
            }
            for f, box in enumerate(BOXES)
        ],
    }


def images(**values: Any) -> Change:
    return lambda document: [image.update(values) for image in document["images"]] and None


def annotations(change: Callable[[Document], Document]) -> Change:
    return lambda document: [a.update(change(a)) for a in document["annotations"]] and None


def without(*keys: str) -> Change:
    def change(document: Document) -> None:
        for annotation in document["annotations"]:
            for key in keys:
                del annotation[key]

    return change


def scaled(sx: float, sy: float, *, polygons: bool = True, box: bool = True) -> Change:
    def change(annotation: Document) -> Document:
        x, y, w, h = annotation["bbox"]
        made = x * sx, y * sy, w * sx, h * sy
        points = [flat(corners(*made))] if polygons else annotation["segmentation"]
        return {"segmentation": points, "bbox": list(made) if box else annotation["bbox"]}

    return annotations(change)


def swapped(annotation: Document) -> Document:
    return {
        "segmentation": [
            [v for x, y in zip(p[::2], p[1::2], strict=True) for v in (y, x)] for p in annotation["segmentation"]
        ]
    }


def both(*changes: Change) -> Change:
    return lambda document: [change(document) for change in changes] and None


def put(place: str, number: int, **values: Any) -> Change:
    return lambda document: document[place][number].update(values)


def second_object(document: Document, offset: tuple[float, float] = (25, 20), identity: int = 8) -> None:
    """Another of the category, at another place."""
    for annotation in copy.deepcopy(document["annotations"]):
        x, y, w, h = annotation["bbox"]
        box = x + offset[0], y + offset[1], 12, 8
        annotation.update(segmentation=[flat(corners(*box))], bbox=list(box), area=96, instance_id=identity)
        document["annotations"].append({**annotation, "id": annotation["id"] + 100})


def exchanged_every_frame(document: Document) -> None:
    second_object(document, (25, 20))
    for annotation in document["annotations"]:
        if annotation["image_id"] % 2:
            annotation["instance_id"] = 15 - annotation["instance_id"]


def outside(document: Document) -> None:
    second_object(document, (90, 0))


COCO: dict[str, tuple[Change, str]] = {
    "as it should be": (lambda document: None, "right"),
    "no boxes, no areas": (without("bbox", "area"), "right"),
    "empty boxes, areas of 0": (annotations(lambda a: {"bbox": [], "area": 0}), "right"),
    "null boxes and areas": (annotations(lambda a: {"bbox": None, "area": None}), "right"),
    "boxes that end on the last pixel": (annotations(lambda a: {"bbox": [*a["bbox"][:2], 19, 11]}), "right"),
    "sizes as floats": (images(width=64.0, height=48.0), "right"),
    "no sizes": (images(width=None, height=None), "right"),
    "width and height switched": (images(width=HEIGHT, height=WIDTH), "refused: they are switched"),
    "frames resized": (both(images(width=128, height=96), scaled(2, 2)), "refused: declared as 96 x 128"),
    "frames resized, no sizes": (
        both(images(width=None, height=None), scaled(4, 4), without("bbox")),
        "refused: they were drawn on larger frames",
    ),
    "one frame of another size": (put("images", 2, width=60), "refused: image 3 (video 1, 2.png)"),
    "a size of text": (images(width="64"), "refused: expected whole numbers of pixels"),
    "a size that is off by one": (images(width=65), "said: 4 declared sizes differ from their frames' by up to 2"),
    "another size of the video": (put("videos", 0, width=640, height=480), "refused: declared as 480 x 640"),
    "boxes of corners": (
        annotations(lambda a: {"bbox": [*a["bbox"][:2], a["bbox"][0] + 20, a["bbox"][1] + 12]}),
        "refused: the box is x1, y1, x2, y2",
    ),
    "boxes of a centre": (
        annotations(lambda a: {"bbox": [a["bbox"][0] + 10, a["bbox"][1] + 6, 20, 12]}),
        "refused: the box has its centre in place of its corner",
    ),
    "boxes in percent": (scaled(100 / WIDTH, 100 / HEIGHT, polygons=False), "refused: the box is in percent"),
    "boxes in fractions": (scaled(1 / WIDTH, 1 / HEIGHT, polygons=False), "refused: the box is in fractions"),
    "polygons in percent": (
        scaled(100 / WIDTH, 100 / HEIGHT, box=False),
        "refused: the mask's coordinates are in percent: write pixels",
    ),
    "polygons in fractions, no boxes": (
        both(scaled(1 / WIDTH, 1 / HEIGHT), without("bbox")),
        "refused: fractions of the frame; expected pixels: x times 64, y times 48",
    ),
    "polygons of y, x": (annotations(swapped), "refused: the mask's coordinates are y, x"),
    "boxes at half the size": (scaled(0.5, 0.5, polygons=False), "refused: the mask is 2 times as large as the box"),
    "boxes of another object": (annotations(lambda a: {"bbox": [40, 30, 20, 12]}), "refused: mend one of them"),
    "areas of larger frames": (
        annotations(lambda a: {"area": 960}),
        "refused: the area is 960 pixels, while its mask has 240",
    ),
    "areas of boxes": (
        annotations(
            lambda a: {
                "segmentation": [
                    flat(
                        [
                            [a["bbox"][0], a["bbox"][1]],
                            [a["bbox"][0] + 20, a["bbox"][1]],
                            [a["bbox"][0], a["bbox"][1] + 12],
                        ]
                    )
                ],
                "area": 240,
            }
        ),
        "said: 4 areas are those of boxes",
    ),
    "a box of text": (annotations(lambda a: {"bbox": "6 8 20 12"}), "refused: expected [x, y, w, h] in pixels"),
    "an id for every annotation": (
        annotations(lambda a: {"instance_id": a["id"]}),
        "refused: 4 of 4 tracks have one frame only",
    ),
    "ids counted anew in every frame": (exchanged_every_frame, "refused: an id moves to where another object"),
    "an object outside the frames": (outside, "said: 4 objects lie wholly outside their frame"),
    "an object that leaves the frame": (
        lambda document: second_object(document, (44, 0)),
        "said: objects reach out of their frame by more than 2 pixels",
    ),
    "a track of another category": (
        lambda document: (
            document.update(tracks=[{"id": 7, "category_id": 2, "video_id": 1}])
            or [a.update(track_id=a.pop("instance_id")) for a in document["annotations"]]
            and None
        ),
        "refused: category_id is 1, while track 7 has 2",
    ),
    "an annotation of another video": (put("annotations", 1, video_id=2), "refused: video_id is 2, while its image 2"),
    "frames that are not listed": (
        lambda document: [document[key].pop() for key in ("images", "annotations")] and None,
        "said: 1 images are not annotated and were left out",
    ),
    "two categories of one name": (
        lambda document: document["categories"].append({"id": 2, "name": "cat"}),
        "refused: two categories are called 'cat'",
    ),
    "categories that differ by case": (
        lambda document: document["categories"].append({"id": 2, "name": " Cat"}),
        "said: 2 names of categories differ by case or blanks alone (first: 'cat', ' Cat')",
    ),
    "categories that count objects": (
        lambda document: document["categories"].extend({"id": 1 + n, "name": f"cow-{n}"} for n in (1, 2)),
        "said: 2 names of categories differ by a number alone",
    ),
}


@pytest.mark.parametrize("name", COCO)
def test_coco_video(name: str, tmp_path: Path) -> None:
    change, outcome = COCO[name]
    document = coco()
    change(document)
    for frame in range(NUM_FRAMES):
        write_frame(tmp_path / "frames" / f"{frame}.png", (HEIGHT, WIDTH), frame)
    (tmp_path / "a.json").write_text(json.dumps(document))
    out = tmp_path / "out"
    code, said = convert("coco-video", tmp_path / "a.json", out, "--frames", str(tmp_path / "frames"))
    assert_outcome(outcome, code, said, out)


def test_coco_video_identities_can_be_trusted(tmp_path: Path) -> None:
    for number, change in enumerate((exchanged_every_frame, annotations(lambda a: {"instance_id": a["id"]}))):
        document = coco()
        change(document)
        for frame in range(NUM_FRAMES):
            write_frame(tmp_path / f"{frame}.png", (HEIGHT, WIDTH), frame)
        (tmp_path / "a.json").write_text(json.dumps(document))
        code, said = convert("coco-video", tmp_path / "a.json", tmp_path / f"out{number}", "--trust-identities")
        assert code == 0
        assert ("times a track moved to where another" if number == 0 else "4 tracks have one frame only") in said


@pytest.mark.parametrize(
    ("orientation", "sizes"), [(6, "shown"), (6, "stored"), (6, "stored video"), (3, "shown"), (6, "none")]
)
def test_coco_video_of_turned_frames(orientation: int, sizes: str, tmp_path: Path) -> None:
    """The masks are right where the declared size is that of the picture as shown, or as stored."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    size = (WIDTH, HEIGHT) if orientation == 6 and "stored" not in sizes else (HEIGHT, WIDTH)
    for frame in range(NUM_FRAMES):
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(tmp_path / f"{frame}.png", exif=exif)
    document = coco()
    if sizes in ("none", "stored video"):
        images(width=None, height=None)(document)
    if sizes == "stored video":
        document["videos"][0].update(width=WIDTH, height=HEIGHT)
    (tmp_path / "a.json").write_text(json.dumps(document))
    code, said = convert("coco-video", tmp_path / "a.json", tmp_path / "out")
    assert_outcome("right", code, said, tmp_path / "out")
    video = json.loads((tmp_path / "out" / "train.json").read_text())["videos"][0]
    assert (video["height"], video["width"]) == (HEIGHT, WIDTH)


# --- labelme


def shape(box: tuple[float, ...], label: str = "cat", group: Any = None) -> Document:
    return {"label": label, "group_id": group, "points": corners(*box), "shape_type": "polygon"}  # type: ignore[arg-type]


def labels(label: Callable[[int], str], group: Callable[[int], Any] = lambda frame: None) -> Callable[[int], Document]:
    def make(frame: int) -> Document:
        return {"shapes": [shape(BOXES[frame], label(frame), group(frame))]}

    return make


def pair(
    label: str, other: str, groups: Callable[[int], tuple[Any, Any]] = lambda frame: (None, None)
) -> Callable[[int], Document]:
    def make(frame: int) -> Document:
        x, y, _, _ = BOXES[frame]
        one, two = groups(frame)
        return {"shapes": [shape(BOXES[frame], label, one), shape((x + 20, y + 20, 12, 8), other, two)]}

    return make


SECOND = [(x + 20, y + 20, 12, 8) for x, y, _, _ in BOXES]

LABELME: dict[str, tuple[Callable[[int], Document | None], tuple[str, ...], str]] = {
    "as it should be": (labels(lambda f: "cat"), (), "right"),
    "group ids of text": (labels(lambda f: "cat", lambda f: "1"), (), "right"),
    "group ids of floats": (labels(lambda f: "cat", lambda f: 1.0), (), "right"),
    "a group id of words": (labels(lambda f: "cat", lambda f: "left one"), (), "refused: expected a whole number"),
    "sizes of null": (lambda f: {"shapes": [shape(BOXES[f])], "imageHeight": None, "imageWidth": None}, (), "right"),
    "sizes of larger frames": (
        lambda f: {"shapes": [shape(BOXES[f])], "imageHeight": 96, "imageWidth": 128},
        (),
        "refused: the frames were resized by 0.5 after they were annotated",
    ),
    "sizes as floats of other frames": (
        lambda f: {"shapes": [shape(BOXES[f])], "imageHeight": 96.0, "imageWidth": 64.0},
        (),
        "refused: declared as 96 x 64",
    ),
    "sizes switched": (
        lambda f: {"shapes": [shape(BOXES[f])], "imageHeight": WIDTH, "imageWidth": HEIGHT},
        (),
        "refused: they are switched",
    ),
    "labels of other case": (
        labels(lambda f: ["cat", "Cat", "cat ", "CAT"][f]),
        (),
        "refused: join them with --merge-labels",
    ),
    "labels of other case, merged": (labels(lambda f: ["cat", "Cat", "cat ", "CAT"][f]), ("--merge-labels",), "right"),
    "labels of other separators": (
        labels(lambda f: ["big cat", "big_cat"][f % 2]),
        (),
        "refused: 'big cat', 'big_cat'",
    ),
    "labels with numbers": (pair("cow-1", "cow-2"), (), "refused: say with --numbers objects"),
    "labels with numbers in brackets": (pair("cow (1)", "cow (2)"), (), "refused: ('cow (1)', 'cow (2)')"),
    "group ids for every frame": (
        pair("cat", "cat", lambda f: (f, 10 + f)),
        (),
        "refused: 8 of 8 tracks have one frame only (first: video clip, frame 0)",
    ),
    "group ids exchanged": (
        pair("cat", "cat", lambda f: (1, 2) if f % 2 else (2, 1)),
        (),
        "refused: an id moves to where another object",
    ),
    "frames without a JSON": (
        lambda f: {"shapes": [shape(BOXES[f])]} if f != 2 else None,
        (),
        "said: 1 images are not annotated and were left out",
    ),
    "an object outside the frame": (
        lambda f: {"shapes": [shape(BOXES[f]), shape((100, 5, 9, 9), "dog"), shape((2, 2, 9, 9), "owl")]},
        (),
        "said: 4 objects lie wholly outside their frame and were left out of it",
    ),
    "everything outside the frame": (
        lambda f: {"shapes": [shape((70, 5, 9, 9))]},
        (),
        "refused: no object in any of 1 videos",
    ),
    "polygons in fractions": (
        lambda f: {"shapes": [shape((0.1, 0.2, 0.3, 0.25))]},
        (),
        "refused: fractions of the frame; expected pixels: x times 64, y times 48",
    ),
    "polygons of y, x": (
        lambda f: {"shapes": [{**shape(BOXES[f]), "points": [[y, x] for x, y in corners(30 + 5 * f, 8, 16, 12)]}]},
        (),
        "refused: lie within them as y, x",
    ),
    "the picture inside the JSON": (
        lambda f: {"shapes": [shape(BOXES[f])], "imageData": "AAAA", "imagePath": "gone.png"},
        (),
        "refused: the JSON holds it as imageData",
    ),
}


@pytest.mark.parametrize("name", LABELME)
def test_labelme(name: str, tmp_path: Path) -> None:
    make, options, outcome = LABELME[name]
    write_labelme(tmp_path / "set" / "clip", make)
    code, said = convert("labelme", tmp_path / "set", tmp_path / "out", *options)
    assert_outcome(outcome, code, said, tmp_path / "out")


def write_labelme(folder: Path, make: Callable[[int], Document | None]) -> None:
    for frame in range(NUM_FRAMES):
        write_frame(folder / f"{frame}.png", (HEIGHT, WIDTH), frame)
        if (document := make(frame)) is not None:
            (folder / f"{frame}.json").write_text(json.dumps({"imagePath": f"{frame}.png", **document}))


@pytest.mark.parametrize("numbers", ["objects", "categories"])
def test_numbers_in_labels_are_what_the_user_says(numbers: str, tmp_path: Path) -> None:
    write_labelme(tmp_path / "set" / "clip", pair("cow-1", "cow-2"))
    code, _ = convert("labelme", tmp_path / "set", tmp_path / "out", "--numbers", numbers)
    document = json.loads((tmp_path / "out" / "train.json").read_text())
    names = ["cow"] if numbers == "objects" else ["cow-1", "cow-2"]
    assert code == 0 and [category["name"] for category in document["categories"]] == names
    assert boxes_of(tmp_path / "out") == [BOXES, SECOND]


def test_group_ids_and_numbers_tell_objects_apart_together(tmp_path: Path) -> None:
    """cow-1 of group 3 is neither cow-1 of group 4 nor cow-2 of group 3."""

    def make(frame: int) -> Document:
        x, y, _, _ = BOXES[frame]
        places = [("cow-1", 3, (x, y)), ("cow-1", 4, (x + 22, y)), ("cow-2", 3, (x, y + 20))]
        return {"shapes": [shape((*place, 8, 8), label, group) for label, group, place in places]}

    write_labelme(tmp_path / "set" / "clip", make)
    code, _ = convert("labelme", tmp_path / "set", tmp_path / "out", "--numbers", "objects")
    assert code == 0 and len(boxes_of(tmp_path / "out")) == 3


# --- Label images


def label_image(
    frame: int, size: tuple[int, int] = (HEIGHT, WIDTH), value: int = 1, dtype: Any = np.uint8
) -> np.ndarray:
    values = np.zeros(size, dtype)
    x, y, w, h = BOXES[frame]
    values[y : y + h, x : x + w] = value
    return values


@pytest.mark.parametrize(
    ("size", "turned", "outcome"),
    [
        ((HEIGHT, WIDTH), False, "right"),
        ((HEIGHT, WIDTH), True, "right"),
        ((96, 128), False, "refused: a mask of 96 x 128 pixels (height x width), its frame has 48 x 64"),
        ((WIDTH, HEIGHT), False, "refused: a mask of 64 x 48 pixels"),
    ],
)
def test_davis_label_images_are_of_their_frames(
    size: tuple[int, int], turned: bool, outcome: str, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for frame in range(NUM_FRAMES):
        path = tmp_path / "JPEGImages" / "480p" / "clip" / f"{frame}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((WIDTH, HEIGHT, 3) if turned else (HEIGHT, WIDTH, 3), np.uint8)
        Image.fromarray(pixels).save(path, exif=exif if turned else None)
        write_values(
            tmp_path / "Annotations" / "480p" / "clip" / f"{frame}.png", label_image(frame, size), palette=True
        )
    code, said = convert("davis", tmp_path, tmp_path / "out")
    assert_outcome(outcome, code, said, tmp_path / "out")


def test_davis_masks_with_soft_edges_are_refused(tmp_path: Path) -> None:
    for frame in range(NUM_FRAMES):
        write_frame(tmp_path / "JPEGImages" / "480p" / "clip" / f"{frame}.png", (HEIGHT, WIDTH), frame)
        small = Image.fromarray(label_image(frame, value=255)).resize(
            (WIDTH // 5, HEIGHT // 5), Image.Resampling.BILINEAR
        )
        soft = np.asarray(small.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
        write_values(tmp_path / "Annotations" / "480p" / "clip" / f"{frame}.png", soft)
    code, said = convert("davis", tmp_path, tmp_path / "out")
    assert code == 2 and "soft edges" in said and "resize them to the nearest pixel" in said


def test_davis_objects_numbered_anew_are_refused(tmp_path: Path) -> None:
    for frame in range(NUM_FRAMES):
        write_frame(tmp_path / "JPEGImages" / "480p" / "clip" / f"{frame}.png", (HEIGHT, WIDTH), frame)
        values = label_image(frame, value=1 + frame)
        write_values(tmp_path / "Annotations" / "480p" / "clip" / f"{frame}.png", values, palette=True)
    assert "4 of 4 tracks have one frame only" in convert("davis", tmp_path, tmp_path / "out")[1]


@pytest.mark.parametrize("empty", [False, True])
def test_mots_text_says_which_frames_have_no_line(empty: bool, tmp_path: Path) -> None:
    from vistrials.formats.rle import encode

    lines = []
    for frame in range(NUM_FRAMES):
        write_frame(tmp_path / "images" / "0001" / f"{frame:06d}.png", (HEIGHT, WIDTH), frame)
        if not (empty and frame == 2):
            lines.append(f"{frame} 1001 1 {HEIGHT} {WIDTH} {encode(label_image(frame))['counts']}")
    (tmp_path / "instances_txt").mkdir()
    (tmp_path / "instances_txt" / "0001.txt").write_text("\n".join(lines))
    code, said = convert("mots-png", tmp_path, tmp_path / "out")
    assert_outcome("said: 1 frames have no line" if empty else "right", code, said, tmp_path / "out")
