"""The server of volumes: what a browser asks, over real connections."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

from hipct.core.errors import InputError, OutputError
from hipct.viewing.serve import VolumeServer, serve_volume
from hipct.volume.pyramid import write_pyramid

BYTES = bytes(range(256)) * 5000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VolumeServer]:
    folder = tmp_path_factory.mktemp("served")
    (folder / "volume 1" / "0").mkdir(parents=True)
    (folder / "volume 1" / "0" / "c").write_bytes(BYTES)
    (folder / "volume 1" / "empty").touch()
    (folder / "volume 1" / "zarr.json").write_text("{}")
    (folder / "secret").write_text("secret")
    (folder / "volume 1" / "link").symlink_to(folder / "secret")
    server = VolumeServer({"a b": folder / "volume 1"})
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def ask(
    server: VolumeServer, path: str, method: str = "GET", part: str | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=60)
    headers = {"Origin": "https://viewer.example"} | ({} if part is None else {"Range": part})
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer, data


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=1000-", slice(1000, None)),
        ("bytes=-260", slice(-260, None)),
        ("bytes=-99999999", slice(None)),
        ("bytes=1279990-2000000", slice(1_279_990, None)),
    ],
)
def test_parts_are_the_bytes_that_were_asked_for(
    server: VolumeServer, part: str, expected: slice
) -> None:
    answer, data = ask(server, "/a%20b/0/c", part=part)
    assert answer.status == 206
    assert data == BYTES[expected]
    start, stop, _ = expected.indices(len(BYTES))
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(BYTES)}"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Content-Range" in answer.headers["Access-Control-Expose-Headers"]


def test_whole_files_heads_and_the_question_before(server: VolumeServer) -> None:
    answer, data = ask(server, "/a%20b/0/c?x=1")
    assert (answer.status, data) == (200, BYTES)
    answer, data = ask(server, "/a%20b/0/c", "HEAD", "bytes=5-9")
    assert (answer.status, answer.headers["Content-Length"], data) == (206, "5", b"")
    answer, data = ask(server, "/a%20b/zarr.json")
    assert (answer.headers["Content-Type"], data) == ("application/json", b"{}")
    answer, data = ask(server, "/a%20b/empty")
    assert (answer.status, data) == (200, b"")
    answer, _ = ask(server, "/a%20b/0/c", "OPTIONS")
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Headers"] == "Range"


@pytest.mark.parametrize(
    "part", ["bytes=1280000-", "bytes=9-3", "bytes=-0", "bytes=-", "bytes=0-1,5-9", "lines=1-2"]
)
def test_what_is_no_part_is_refused(server: VolumeServer, part: str) -> None:
    answer, data = ask(server, "/a%20b/0/c", part=part)
    assert (answer.status, data) == (416, b"")
    assert answer.headers["Content-Range"] == f"bytes */{len(BYTES)}"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/a%20b",
        "/a%20b/",
        "/a%20b/0",
        "/a%20b/9/c",
        "/a%20b/../secret",
        "/a%20b/%2e%2e/secret",
        "/a%20b/..%2fsecret",
        "/a%20b//etc/passwd",
        "/a%20b/link",
        "/a%20b/%00",
        "/a%20b/0/c/d",
        "/a%20b/" + "x" * 5000,
        "/etc/passwd",
    ],
)
def test_nothing_but_files_of_the_folder_is_given(server: VolumeServer, path: str) -> None:
    answer, data = ask(server, path)
    assert (answer.status, data) == (404, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_the_link_names_the_served_volume(tmp_path: Path) -> None:
    path = tmp_path / "my heart.ome.zarr"
    write_pyramid(np.ones((8, 8, 8), np.uint8), path, voxel_size_um=10.0)
    server, link = serve_volume(path, 0)
    try:
        viewer, _, state = link.partition("/#!")
        assert viewer == "https://neuroglancer-demo.appspot.com"
        source = json.loads(unquote(state))["layers"][0]["source"]
        assert source == f"zarr3://{server.address}/my%20heart.ome.zarr"
        with pytest.raises(OutputError, match="give another --port"):
            serve_volume(path, urlsplit(server.address).port or 0)
    finally:
        server.server_close()
    with pytest.raises(OutputError, match="give another --port"):
        serve_volume(path, 70_000)
    write_pyramid(np.ones((8, 8, 8), np.uint8), tmp_path / "v", voxel_size_um=None)
    with pytest.raises(InputError, match="does not say how large"):
        serve_volume(tmp_path / "v", 0)
    with pytest.raises(InputError, match="lies on a server"):
        serve_volume("https://host/heart.ome.zarr", 0)
