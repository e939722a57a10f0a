import io
import random
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from vistrials.data.download import unpacking
from vistrials.data.download.unpacking import DamagedArchive, is_archive, unpack
from vistrials.errors import DataError

FILES = {"set/a.txt": b"alpha", "set/deep/b.bin": bytes(1000), "c.txt": b""}


def write_zip(path: Path, files: dict[str, bytes], kinds: dict[str, int] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = ((kinds or {}).get(name, stat.S_IFREG) | 0o644) << 16
            archive.writestr(info, content)
    return path


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def refused(archive: Path, tmp_path: Path, message: str, kind: type[DataError] = DataError) -> None:
    with pytest.raises(kind, match=message) as caught:
        unpack(archive, tmp_path / "out")
    assert "\n" not in str(caught.value) and str(archive) in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_files_come_out_as_they_went_in(tmp_path, form):
    path = tmp_path / "archive"
    archive = write_zip(path, FILES) if form == "zip" else write_tar(path, FILES, form)
    seen: list[tuple[int, int]] = []
    unpack(archive, tmp_path / "out", lambda done, total: seen.append((done, total)))
    assert content_of(tmp_path / "out") == FILES
    assert seen[-1] == (1005, 1005) and is_archive(archive)


def test_folders_and_what_macos_adds(tmp_path):
    archive = write_zip(
        tmp_path / "a.zip", {"empty/": b"", "__MACOSX/set/._a": b"x", "set/a": b"y"}, {"empty/": stat.S_IFDIR}
    )
    unpack(archive, tmp_path / "out")
    assert content_of(tmp_path / "out") == {"set/a": b"y"} and (tmp_path / "out" / "empty").is_dir()
    unpack(write_tar(tmp_path / "b.tar", {"./b": b"z"}), tmp_path / "out")
    assert content_of(tmp_path / "out") == {"b": b"z", "set/a": b"y"}


@pytest.mark.parametrize("name", ["../a", "set/../../a", "/etc/a", "..\\a", "C:/a", "C:\\a"])
@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_nothing_lands_outside(tmp_path, name, write):
    refused(write(tmp_path / "a", {"good": b"1", name: b"2"}), tmp_path, "outside the folder that it is unpacked to")


def test_links_and_devices_are_refused(tmp_path):
    refused(
        write_zip(tmp_path / "a.zip", {"good": b"1", "link": b"/etc/passwd"}, {"link": stat.S_IFLNK}),
        tmp_path,
        "'link' is a link or a device",
    )
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        with tarfile.open(tmp_path / "a.tar", "w") as archive:
            info = tarfile.TarInfo("link")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        refused(tmp_path / "a.tar", tmp_path, "'link' is a link or a device")


@pytest.mark.parametrize("form", ["zip", "w:gz"])
def test_bombs_are_refused_before_anything_is_written(tmp_path, monkeypatch, form):
    monkeypatch.setattr(unpacking, "FREE_BYTES", 1000)
    files = {f"{number}": bytes(100_000) for number in range(3)}
    archive = write_zip(tmp_path / "a", files) if form == "zip" else write_tar(tmp_path / "a", files, form)
    assert archive.stat().st_size < 2000
    refused(archive, tmp_path, r"bytes that would unpack to .* over 50 times as many")
    # The same bytes that do not shrink are no bomb.
    noise = random.Random(0).randbytes(300_000)
    unpack(write_zip(tmp_path / "b", {"noise": noise}), tmp_path / "out")
    assert content_of(tmp_path / "out") == {"noise": noise}


def test_too_many_entries_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "MAX_ENTRIES", 3)
    unpack(write_zip(tmp_path / "a", dict.fromkeys("abc", b"")), tmp_path / "three")
    for write in (write_zip, write_tar):
        refused(write(tmp_path / "a", dict.fromkeys("abcd", b"")), tmp_path, "more than 3 entries")


def test_a_file_may_come_once(tmp_path):
    archive = write_zip(tmp_path / "a.zip", FILES)
    unpack(archive, tmp_path / "out")
    with pytest.raises(DataError, match="brings .*a.txt, which is there already"):
        unpack(archive, tmp_path / "out")


def test_what_does_not_fit_on_the_disk_is_refused(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1004))
    archive = write_zip(tmp_path / "a.zip", FILES)
    with pytest.raises(DataError, match="a.zip unpacks to 1,005 bytes, 1,004 are free"):
        unpack(archive, tmp_path / "out")
    assert content_of(tmp_path / "out") == {}


def test_damaged_archives_are_said_to_be(tmp_path):
    noise = {"noise": random.Random(0).randbytes(5000)}
    for form, write in (("zip", write_zip), ("tar", lambda path, files: write_tar(path, files, "w:gz"))):
        whole = write(tmp_path / form, noise).read_bytes()
        (tmp_path / form).write_bytes(whole[:-1000])
        with pytest.raises(DamagedArchive, match="download it again"):
            unpack(tmp_path / form, tmp_path / f"{form}_cut")
        flipped = bytearray(whole)
        flipped[2000] ^= 255
        (tmp_path / form).write_bytes(flipped)
        with pytest.raises(DamagedArchive, match="damaged, cut short or locked"):
            unpack(tmp_path / form, tmp_path / f"{form}_flipped")
    (tmp_path / "none").write_bytes(b"text")
    assert not is_archive(tmp_path / "none")
    refused(tmp_path / "none", tmp_path, "found a file that begins with b'text'", DamagedArchive)


def test_a_locked_zip_is_said_to_be(tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"a": b"alpha"})
    content = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + offset] |= 1  # the flag that says encrypted
    archive.write_bytes(content)
    with pytest.raises(DamagedArchive, match="encrypted"):
        unpack(archive, tmp_path / "out")
