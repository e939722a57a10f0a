import http.server
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.download.serving import Site, serve
from vistrials.data.download import fetching
from vistrials.errors import DataError

BODY = bytes(range(256)) * 40  # 10,240 bytes
HALF = len(BODY) // 2


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that would have been waited."""
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


def fetch(site: Site, target: Path, **kwargs: object) -> list[str]:
    """Download; returns the news."""
    news: list[str] = []
    arguments: dict[str, Callable] = {"is_whole": lambda part: True, "make_room": lambda missing, whole: None}
    fetching.fetch(site.address, target, **{**arguments, "news": news.append, **kwargs})
    return news


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file_comes_with_its_progress_and_nothing_else_is_left(tmp_path, waits):
    seen: list[tuple[int, int | None]] = []
    room: list[tuple[int, int]] = []
    with serve(Site(BODY)) as site:
        fetch(
            site,
            tmp_path / "a.zip",
            progress=lambda done, whole: seen.append((done, whole)),
            make_room=lambda missing, whole: room.append((missing, whole)),
        )
        fetch(site, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY and left(tmp_path) == ["a.zip"]
    assert seen[-1] == (len(BODY), len(BODY)) and room == [(len(BODY), len(BODY))]
    assert site.ranges == [None] and waits == []  # what is there is not asked for again


@pytest.mark.parametrize("validators", [{}, {"etag": None, "last_modified": "Sat, 01 Jan 2022 00:00:00 GMT"}])
def test_a_broken_connection_continues_where_it_broke(tmp_path, waits, validators):
    room = []
    with serve(Site(BODY, breaks_after=[HALF, 1000], **validators)) as site:
        news = fetch(site, tmp_path / "a.zip", make_room=lambda missing, whole: room.append((missing, whole)))
    assert (tmp_path / "a.zip").read_bytes() == BODY
    assert site.ranges == [None, f"bytes={HALF}-", f"bytes={HALF + 1000}-"]
    assert room == [(len(BODY) - done, len(BODY)) for done in (0, HALF, HALF + 1000)]
    assert "broke off after 5,120 of 10,240 bytes; next try in 1 s" in news[0]
    assert waits == [1, 1]  # each try brought something


def test_an_interrupted_call_is_continued_by_the_next(tmp_path, waits):
    def interrupt(done: int, whole: int | None) -> None:
        raise KeyboardInterrupt

    with serve(Site(BODY, breaks_after=[HALF])) as site:
        with pytest.raises(KeyboardInterrupt):
            fetch(site, tmp_path / "a.zip", progress=interrupt)
        have = (tmp_path / "a.zip.part").stat().st_size
        fetch(site, tmp_path / "a.zip")
    assert 0 < have <= HALF and site.ranges == [None, f"bytes={have}-"]
    assert (tmp_path / "a.zip").read_bytes() == BODY


def test_a_server_that_ignores_ranges_sends_all_again(tmp_path, waits):
    with serve(Site(BODY, knows_ranges=False, breaks_after=[HALF])) as site:
        fetch(site, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY and site.ranges == [None, f"bytes={HALF}-"]


@pytest.mark.parametrize("etag", [None, 'W/"one"'])
def test_without_a_strong_validator_nothing_is_continued(tmp_path, waits, etag):
    with serve(Site(BODY, etag=etag, breaks_after=[HALF])) as site:
        fetch(site, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY and site.ranges == [None, None]


@pytest.mark.parametrize("trusts_ranges", [False, True])
def test_two_versions_are_never_glued_together(tmp_path, waits, trusts_ranges):
    other = BODY[::-1]
    with serve(Site(BODY, breaks_after=[HALF], trusts_ranges=trusts_ranges)) as site:

        def change(text: str) -> None:
            site.body, site.etag = other, '"two"'

        fetch(site, tmp_path / "a.zip", news=change)
    assert (tmp_path / "a.zip").read_bytes() == other
    assert len(site.ranges) == (3 if trusts_ranges else 2)  # a server that keeps to the rules is asked once more


def test_a_part_of_another_address_is_not_continued(tmp_path, waits):
    (tmp_path / "a.zip.part").write_bytes(b"x" * 100)
    record = {"address": "http://127.0.0.1/other", "etag": '"one"', "last_modified": None, "size": len(BODY)}
    (tmp_path / "a.zip.part.json").write_text(json.dumps(record))
    with serve(Site(BODY)) as site:
        fetch(site, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY and site.ranges == [None]


@pytest.mark.parametrize("extra", [b"", b"surplus"])
def test_a_part_that_is_whole_already_is_kept_and_a_longer_one_is_not(tmp_path, waits, extra):
    with serve(Site(BODY)) as site:
        (tmp_path / "a.zip.part").write_bytes(BODY + extra)
        record = {"address": site.address, "etag": '"one"', "last_modified": None, "size": len(BODY)}
        (tmp_path / "a.zip.part.json").write_text(json.dumps(record))
        fetch(site, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY
    assert len(site.ranges) == (2 if extra else 1)


def test_passing_errors_are_tried_again_and_the_servers_wait_is_kept(tmp_path, waits):
    refusals = [(503, {"Retry-After": "7"}), (502, {}), (429, {"Retry-After": "9999"})]
    with serve(Site(BODY, refusals=refusals)) as site:
        news = fetch(site, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY
    assert waits == [7, 2, fetching.MAX_WAIT_SECONDS] and news[0].startswith("HTTP 503")


def test_a_server_that_keeps_failing_is_given_up_and_what_is_there_stays(tmp_path, waits):
    with serve(Site(BODY, breaks_after=[HALF])) as site:

        def fail(text: str) -> None:
            site.refusals = [(500, {})]

        with pytest.raises(DataError, match=r"failed 6 times in a row \(HTTP 500 .*5,120 bytes are kept"):
            fetch(site, tmp_path / "a.zip", news=fail)
        assert waits == [1, 2, 4, 8, 16]
        site.refusals = []
        fetch(site, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == BODY and site.ranges[-1] == f"bytes={HALF}-"


def test_a_connection_that_nobody_answers_is_tried_again(tmp_path, waits):
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        address = f"http://127.0.0.1:{server.server_port}/a.zip"
    with pytest.raises(DataError, match="failed 6 times in a row .*refused"):
        fetch(Site(b"", address=address), tmp_path / "a.zip")
    assert waits == [1, 2, 4, 8, 16]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_missing_file_is_said_at_once(tmp_path, waits, status):
    message = rf"set.zip: HTTP {status} .*; check the address, or give --from"
    with serve(Site(BODY, refusals=[(status, {})])) as site, pytest.raises(DataError, match=message):
        fetch(site, tmp_path / "a.zip")
    assert waits == [] and left(tmp_path) == []


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_web_page_in_place_of_the_file_is_said_in_one_line(tmp_path, waits, kind):
    page = b"\n <!DOCTYPE html><html>Google Drive can't scan this file for viruses</html>"
    message = "answers with a web page, not with a file .*; download it with a browser"
    with serve(Site(page, kind=kind)) as site, pytest.raises(DataError, match=message):
        fetch(site, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists() and waits == []


def test_without_a_length_the_file_itself_says_whether_it_is_whole(tmp_path, waits):
    with serve(Site(BODY, says_length=False, breaks_after=[HALF])) as site:
        fetch(site, tmp_path / "a.zip", is_whole=lambda part: part.stat().st_size == len(BODY))
    assert (tmp_path / "a.zip").read_bytes() == BODY and site.ranges == [None, f"bytes={HALF}-"]


def test_a_full_disk_stops_before_anything_comes(tmp_path, waits):
    def no_room(missing: int, whole: int) -> None:
        raise DataError("full")

    with serve(Site(BODY)) as site, pytest.raises(DataError, match="full"):
        fetch(site, tmp_path / "a.zip", make_room=no_room)
    assert not (tmp_path / "a.zip.part").exists()


def test_what_is_no_address_is_refused(tmp_path, waits):
    with pytest.raises(DataError, match="no address of a file"):
        fetch(Site(b"", address="http://[::1"), tmp_path / "a.zip")
