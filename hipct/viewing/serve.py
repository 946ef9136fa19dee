"""Volumes served to browsers: what Neuroglancer needs of a server, on this machine.

A page of another address may only read what says so (CORS), and parts of shards are asked for by
their bytes (ranges, RFC 9110); the server of Python's library does neither.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, unquote, urlsplit

from hipct.core.errors import InputError, OutputError
from hipct.exchange.export_neuroglancer import neuroglancer_link, neuroglancer_state
from hipct.volume.open import open_volume
from hipct.volume.storage import is_address

DEFAULT_PORT = 9010
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_PIECE = 2**20
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".wasm": "application/wasm",
}


class VolumeServer(ThreadingHTTPServer):
    """A server of some folders; ``serve_forever`` runs it, ``shutdown`` ends it.

    Parameters
    ----------
    folders : mapping of str to path
        Each is served under ``/{key}/``. Links that lead out of them are not followed.
    port : int
        0 takes a free one.
    host : str
        Address to listen at; ``127.0.0.1`` is heard by this machine only.

    Raises
    ------
    OutputError
        If the port is taken.
    """

    daemon_threads = True
    # A browser opens as many connections as it likes at once.
    request_queue_size = 64

    def __init__(
        self, folders: Mapping[str, Path | str], port: int = 0, host: str = "127.0.0.1"
    ) -> None:
        self.folders = {key: Path(folder).resolve() for key, folder in folders.items()}
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            raise OutputError(
                f"Nothing can be served at {host}:{port} ({error}); give another --port."
            ) from error
        self.address = f"http://{host}:{self.server_address[1]}"

    def url(self, key: str) -> str:
        """Address of a folder."""
        return f"{self.address}/{quote(key)}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Browsers break off what they no longer need: nothing to tell."""


def serve_volume(
    path: Path | str, port: int = DEFAULT_PORT, host: str = "127.0.0.1"
) -> tuple[VolumeServer, str]:
    """A server of one volume, and the link that shows it in Neuroglancer.

    Parameters
    ----------
    path : path
        An OME-Zarr volume.
    port, host
        As in :class:`VolumeServer`.

    Returns
    -------
    server : VolumeServer
        Not running yet.
    link : str
        Neuroglancer at its public address, which reads the volume from this machine.

    Raises
    ------
    InputError, FormatError
        If the volume cannot be opened, has no voxel size, or lies on a server.
    OutputError
        If the port is taken.
    """
    if is_address(path):
        raise InputError(
            f"{path} lies on a server, from which Neuroglancer reads by itself; give it to hipct "
            "export --format neuroglancer --url."
        )
    volume = open_volume(path)
    folder = Path(path).resolve()
    server = VolumeServer({folder.name: folder}, port, host)
    try:
        return server, neuroglancer_link(neuroglancer_state(volume, server.url(folder.name)))
    except BaseException:
        server.server_close()
        raise


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # Headers and body are two writes: the second would wait.
    server: VolumeServer

    def do_OPTIONS(self) -> None:
        self._begin(HTTPStatus.NO_CONTENT, 0)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, format: str, *args: Any) -> None:
        """Thousands of chunks are asked for: nothing is told of them."""

    def _answer(self, *, body: bool) -> None:
        path = self._path()
        if path is None:
            # Chunks of zeros that are not stored are asked for as well: no page about it.
            self._begin(HTTPStatus.NOT_FOUND, 0)
            return
        try:
            with open(path, "rb") as file:
                self._answer_with(file, _TYPES.get(path.suffix), body=body)
        except OSError:
            # Broken off by the browser, or not to be read: the connection ends either way.
            self.close_connection = True

    def _answer_with(self, file: IO[bytes], kind: str | None, *, body: bool) -> None:
        size = os.fstat(file.fileno()).st_size
        words = self.headers.get("Range")
        part = _part(words, size)
        if part is None:
            self._begin(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, 0, f"bytes */{size}")
            return
        start, stop = part
        if words is None:
            self._begin(HTTPStatus.OK, size, None, kind)
        else:
            said = f"bytes {start}-{stop - 1}/{size}"
            self._begin(HTTPStatus.PARTIAL_CONTENT, stop - start, said, kind)
        if body:
            self._send(file, start, stop)

    def _path(self) -> Path | None:
        """The file that is asked for, if it lies in one of the folders."""
        asked = unquote(urlsplit(self.path).path)
        for key, folder in self.server.folders.items():
            rest = asked.removeprefix(f"/{key}/")
            if rest != asked and "\0" not in rest:
                try:
                    path = (folder / (rest or "index.html")).resolve()
                    return path if path.is_relative_to(folder) and path.is_file() else None
                except OSError:
                    return None
        return None

    def _begin(
        self, status: HTTPStatus, length: int, part: str | None = None, kind: str | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("Content-Type", kind or "application/octet-stream")
        self.send_header("Accept-Ranges", "bytes")
        # A volume may be built again under the same name.
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
        self.send_header("Access-Control-Allow-Headers", "Range")
        self.send_header("Access-Control-Expose-Headers", "Content-Range, Content-Length")
        # Chrome asks before a public page may read from a private address.
        self.send_header("Access-Control-Allow-Private-Network", "true")
        if part is not None:
            self.send_header("Content-Range", part)
        self.end_headers()

    def _send(self, file: IO[bytes], start: int, stop: int) -> None:
        file.seek(start)
        while start < stop:
            data = file.read(min(_PIECE, stop - start))
            if not data:
                # Shorter than a moment ago: the length has been promised already.
                self.close_connection = True
                return
            self.wfile.write(data)
            start += len(data)


def _part(words: str | None, size: int) -> tuple[int, int] | None:
    """First byte and the one behind the last of what is asked for; None if there is no such part.

    Of several ranges at once none is known that asks for them; they count as no such part.
    """
    if words is None:
        return 0, size
    match = _RANGE.fullmatch(words.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        count = int(match[2])
        return (max(0, size - count), size) if count and size else None
    start = int(match[1])
    stop = min(size, int(match[2]) + 1) if match[2] else size
    return (start, stop) if start < stop else None
