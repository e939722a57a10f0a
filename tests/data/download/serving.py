"""A small server on the loopback that misbehaves as told."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What is served under every path, and what was asked.

    Attributes:
        body: the file.
        etag, last_modified: its validators; None leaves them out.
        knows_ranges: whether a Range is answered with 206.
        trusts_ranges: whether it answers so without looking at If-Range.
        says_length: whether there is a Content-Length.
        breaks_after: bytes to send, per request, before the connection is closed; then no longer.
        refusals: statuses to answer with first, with their further headers.
        kind: Content-Type.
        ranges: the Range headers of the requests, None where there was none.
    """

    body: bytes
    etag: str | None = '"one"'
    last_modified: str | None = None
    knows_ranges: bool = True
    trusts_ranges: bool = False
    says_length: bool = True
    breaks_after: list[int] = field(default_factory=list)
    refusals: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    kind: str = "application/zip"
    ranges: list[str | None] = field(default_factory=list)
    address: str = ""


@contextmanager
def serve(site: Site) -> Iterator[Site]:
    """Serve it, and put the server's address into `site.address`."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            site.ranges.append(wanted)
            if site.refusals:
                status, headers = site.refusals.pop(0)
                self._begin(status, headers | {"Content-Length": "0"})
                return
            body, status = site.body, 200
            headers = {"Content-Type": site.kind}
            condition = self.headers.get("If-Range")
            is_current = condition in (None, site.etag, site.last_modified) or site.trusts_ranges
            if wanted and site.knows_ranges and is_current:
                first = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if first >= len(body):
                    self._begin(416, {"Content-Range": f"bytes */{len(body)}", "Content-Length": "0"})
                    return
                headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
                body, status = body[first:], 206
            if site.says_length:
                headers["Content-Length"] = str(len(body))
            if site.etag:
                headers["ETag"] = site.etag
            if site.last_modified:
                headers["Last-Modified"] = site.last_modified
            self._begin(status, headers)
            self.wfile.write(body[: site.breaks_after.pop(0)] if site.breaks_after else body)

        def _begin(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
    thread.start()
    site.address = f"http://127.0.0.1:{server.server_port}/set.zip"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
