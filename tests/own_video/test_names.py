"""What is made from which video, and what is refused."""

from pathlib import Path

import pytest

from vistrials.errors import DataError, SpecError
from vistrials.own_video.names import OutputPlace, check_outputs, name_outputs
from vistrials.video_files.sources import Source

A = Source("file", "a", "x/a.mp4", (Path("x/a.mp4"),))
B = Source("file", "b", "x/b.mp4", (Path("x/b.mp4"),))
OTHER_A = Source("file", "a", "y/a.mp4", (Path("y/a.mp4"),))


def test_the_suffix_says_the_kind() -> None:
    outputs = ["o.mp4", "O.MP4", "t.json", "b.csv", "masks", "masks.v2/"]
    assert name_outputs(outputs, [A]) == [
        [
            OutputPlace(Path("o.mp4"), ".mp4"),
            OutputPlace(Path("O.MP4"), ".mp4"),
            OutputPlace(Path("t.json"), ".json"),
            OutputPlace(Path("b.csv"), ".csv"),
            OutputPlace(Path("masks"), ""),
            OutputPlace(Path("masks.v2"), ""),
        ]
    ]


@pytest.mark.parametrize("name", ["o.avi", "o.json.gz", "o.png", "masks.v2"])
def test_other_suffixes_are_refused_with_the_list(name: str) -> None:
    with pytest.raises(SpecError, match=rf"--out {name}: .*\.mp4 .*\.json .*\.csv .*a name without suffix"):
        name_outputs([name], [A])


def test_of_several_videos_each_output_has_the_name() -> None:
    named = name_outputs(["out/o.mp4", "masks/"], [A, B])
    assert [[str(place.path) for place in places] for places in named] == [
        ["out/o-a.mp4", "masks/a"],
        ["out/o-b.mp4", "masks/b"],
    ]
    assert [place.kind for place in named[0]] == [".mp4", ""]


def test_collisions_are_refused() -> None:
    with pytest.raises(SpecError, match=r"o-a.mp4: would be made twice, from x/a.mp4 and y/a.mp4"):
        name_outputs(["o.mp4"], [A, OTHER_A])
    with pytest.raises(SpecError, match=r"o.json: would be made twice, from x/a.mp4"):
        name_outputs(["o.json", "./o.json"], [A])


def test_an_input_is_never_an_output(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").touch()
    video = Source("file", "v", "v.mp4", (tmp_path / "v.mp4",))
    with pytest.raises(SpecError, match=r"v.mp4: is an input"):
        name_outputs([str(tmp_path / "v.mp4")], [video])
    images = Source("images", "frames", "frames", (tmp_path / "frames" / "0.png",))
    with pytest.raises(SpecError, match=r"frames: is an input"):
        name_outputs([f"{tmp_path}/frames/"], [images])
    # Beside a video there may be what is made from it.
    assert name_outputs([str(tmp_path / "v.json")], [video])


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "o.mp4").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "00000.png").touch()
    check_outputs([OutputPlace(tmp_path / "new.mp4", ".mp4"), OutputPlace(tmp_path / "empty", "")], replace=False)
    for name, kind in (("o.mp4", ".mp4"), ("masks", "")):
        with pytest.raises(DataError, match=rf"{name}: there already; replace with --force"):
            check_outputs([OutputPlace(tmp_path / name, kind)], replace=False)
        check_outputs([OutputPlace(tmp_path / name, kind)], replace=True)
