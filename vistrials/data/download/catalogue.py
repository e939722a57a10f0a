"""Data sets that `vistrials data get` knows: where they lie, what they allow, what becomes of them."""

from dataclasses import dataclass
from typing import Literal

from vistrials.errors import DataError

Form = Literal["davis", "youtube_vis"]


@dataclass(frozen=True, slots=True)
class PublicSet:
    """A published data set.

    Attributes:
        name: what the command calls it.
        title: its own name, and what it holds.
        home: page of its publishers.
        licence: as they state it; None where no statement of theirs is on record here.
        licence_source: where they state it, or where to look.
        form: what a download holds: davis is converted, youtube_vis is put in order.
        address: of one file that anybody may download; None where there is none.
        size: of that file, in bytes.
        sha256: of that file; None until it is known.
        how: where there is no address, how a user comes by the files.
    """

    name: str
    title: str
    home: str
    licence: str | None
    licence_source: str
    form: Form
    address: str | None = None
    size: int | None = None
    sha256: str | None = None
    how: str = ""


def _youtube_vis(year: int, competition: str, title: str) -> PublicSet:
    home = "https://youtube-vos.org/dataset/vis/"
    return PublicSet(
        name=f"youtube_vis_{year}",
        title=f"YouTube-VIS {year}: {title}",
        home=home,
        licence=None,
        licence_source=home,
        form="youtube_vis",
        how=f"log in and join at {competition}, download the training (and validation) archives and annotations there",
    )


SETS = (
    PublicSet(
        name="davis2017",
        title="DAVIS 2017, train and val at 480p: 90 videos",
        home="https://davischallenge.org/davis2017/code.html",
        licence="CC BY-NC 4.0",
        licence_source="README.md in the archive; https://davischallenge.org",
        form="davis",
        address="https://data.vision.ee.ethz.ch/csergi/share/davis/DAVIS-2017-trainval-480p.zip",
        # As TensorFlow Datasets records them (tensorflow_datasets/video/davis/checksums.tsv).
        size=832_766_765,
        sha256="e3d0b5b77c3d031b000a19e0e25e3e2cac65d183755601bc2cf066df1a2aa492",
    ),
    PublicSet(
        name="ovis",
        title="OVIS: 901 videos of 25 categories with heavy occlusion",
        home="https://songbai.site/ovis/",
        licence=None,
        licence_source="https://songbai.site/ovis/",
        form="youtube_vis",
        how="download train.zip and annotations_train.json (and those of valid) from the folders that its page links",
    ),
    PublicSet(
        name="lvvis",
        title="LV-VIS: 4,828 videos of 1,196 categories",
        home="https://github.com/haochenheheda/LVVIS",
        licence="CC BY-NC-SA 4.0, for non-commercial research",
        licence_source="https://github.com/haochenheheda/LVVIS (README)",
        form="youtube_vis",
        how="download the training and validation videos and annotations from the table of its README",
    ),
    _youtube_vis(2019, "https://competitions.codalab.org/competitions/20128", "2,883 videos of 40 categories"),
    _youtube_vis(2021, "https://competitions.codalab.org/competitions/28988", "3,859 videos of 40 categories"),
    _youtube_vis(2022, "https://youtube-vos.org/dataset/vis/", "that of 2021 with longer validation videos"),
)


def find_set(name: str) -> PublicSet:
    """The set of a name.

    Raises:
        DataError: there is none.
    """
    for public_set in SETS:
        if public_set.name == name:
            return public_set
    raise DataError(f"data set {name!r}: not known; expected one of {', '.join(s.name for s in SETS)}")
