"""Objects below an address: one behaviour of folders and servers, and servers with bad days."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hipct.core.errors import HipctError, InputError, MissingExtra, RemoteError
from hipct.volume.storage import Folder, Patience, Storage, is_address, open_storage

KINDS = ("folder", "file", "s3", "gs", "http")
WRITTEN = ("folder", "file", "s3", "gs")
OBJECTS = {
    "zarr.json": b"{}",
    "0/c/0/1/2": bytes(np.random.default_rng(0).integers(0, 256, 5000, np.uint8)),
    "0/c/0/1/10": b"",
    "10/zarr.json": b"ten",
    "organ of a donor.ome.zarr/0.0.0": b"with spaces",
}
# Where a server is made to fail; one that is only slow on a busy machine gets the usual time.
QUICK = Patience(timeout_s=0.25, attempts=3, pause_s=0.01)


@pytest.fixture(scope="module")
def open_kind(bucket: str, web: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Opens the storage of a kind below a name of its own; what speaks HTTP only reads."""
    folder = tmp_path_factory.mktemp("storage")

    def opened(kind: str, name: str) -> Storage:
        if kind == "folder":
            return open_storage(folder / name)
        if kind == "file":
            return open_storage((folder / f"{name}é ü").as_uri())
        if kind == "http":
            return open_storage(f"{web.url}/{name}")
        return open_storage(f"{bucket.replace('s3', kind)}/{name}-{kind}")

    with pytest.MonkeyPatch.context() as environment:
        import os

        environment.setenv("GOOGLE_BASE_URL", os.environ["AWS_ENDPOINT_URL"])
        environment.setenv("GOOGLE_BEARER_TOKEN", "token")
        yield opened


@pytest.mark.parametrize("kind", KINDS)
def test_objects_are_read_whole_and_in_parts(kind: str, open_kind: Any, web: Any) -> None:
    storage = open_kind(kind, "read")
    source = Folder(web.folder / "read") if kind == "http" else storage
    for key, data in OBJECTS.items():
        source.put(key, data)
    for key, data in OBJECTS.items():
        assert storage.get(key) == data
        found = storage.info(key)
        assert found is not None
        assert (found.key, found.size) == (key, len(data))
    data = OBJECTS["0/c/0/1/2"]
    for start, stop in ((0, 10), (10, 11), (7, 5000), (4990, 6000), (100, None), (0, 0), (9, 3)):
        assert storage.get_part("0/c/0/1/2", start, stop) == data[start:stop]
    for length in (1, 1060, 5000, 6000):
        assert storage.get_part("0/c/0/1/2", -length) == data[-length:]
    assert storage.get_part("0/c/0/1/2", 5000) == b""
    for key in ("1/zarr.json", "0/c", "zarr.json/x"):
        assert storage.get(key) is None
        assert storage.get_part(key, -10) is None
        assert storage.info(key) is None


@pytest.mark.parametrize("kind", WRITTEN)
def test_objects_are_listed_replaced_and_removed(kind: str, open_kind: Any) -> None:
    storage = open_kind(kind, "written")
    assert list(storage.list()) == []
    for key, data in OBJECTS.items():
        storage.put(key, data)
    assert {one.key: one.size for one in storage.list()} == {
        key: len(data) for key, data in OBJECTS.items()
    }
    # Whole parts of keys: level 10 is not below level 1.
    assert {one.key for one in storage.list("1")} == set()
    below = {one.key: one for one in storage.list("0/c")}
    assert set(below) == {"0/c/0/1/2", "0/c/0/1/10"}
    assert below["0/c/0/1/2"] == storage.info("0/c/0/1/2")
    storage.put("0/c/0/1/2", b"other")
    assert storage.get("0/c/0/1/2") == b"other"
    assert storage.info("0/c/0/1/2").etag != below["0/c/0/1/2"].etag
    assert storage.info("0/c/0/1/10").etag == below["0/c/0/1/10"].etag
    for _ in range(2):
        storage.delete("0/c/0/1/2")
    assert storage.get("0/c/0/1/2") is None
    assert len(list(storage.list())) == len(OBJECTS) - 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_storage_goes_to_another_process(kind: str, open_kind: Any, web: Any) -> None:
    storage = open_kind(kind, "sent")
    (Folder(web.folder / "sent") if kind == "http" else storage).put("a", b"1")
    assert pickle.loads(pickle.dumps(storage)).get("a") == b"1"


def test_many_objects_are_listed_page_by_page(bucket: str) -> None:
    storage = open_storage(f"{bucket}/many")
    keys = {f"{n:04}" for n in range(1001)}
    for key in keys:
        storage.put(key, b"")
    assert {one.key for one in storage.list()} == keys


@pytest.mark.parametrize(
    ("fault", "requests", "words"),
    [
        (500, 3, "the server answers 500 Internal Server Error, 3 times; try again later"),
        (503, 3, "the server answers 503 Service Unavailable, 3 times"),
        (429, 3, "the server answers 429 Too Many Requests, 3 times"),
        (403, 1, r"the server refuses \(403 Forbidden\)"),
        (401, 1, r"the server refuses \(401 Unauthorized\)"),
        ("hang", 3, "nothing came for 0.25 s, 3 times"),
        ("drop", 3, "the connection breaks before all bytes have come, 3 times"),
        ("cut", 3, "the connection breaks before all bytes have come, 3 times"),
    ],
)
@pytest.mark.parametrize("scheme", ["http", "s3"])
def test_a_server_that_fails_is_asked_again_and_named(  # noqa: PLR0917
    scheme: str,
    fault: Any,
    requests: int,
    words: str,
    web: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = f"{scheme}-{fault}"
    Folder(web.folder / name).put("x", bytes(range(200)))
    monkeypatch.setenv("AWS_ENDPOINT_URL", web.url)
    address = f"{web.url}/{name}" if scheme == "http" else f"s3://{name}"
    storage = open_storage(address, patience=QUICK)
    web.begin(lambda path, before: fault)
    with pytest.raises(RemoteError, match=f"^{address}/x could not be read: {words}") as caught:
        storage.get("x")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250
    # A body that breaks off is asked for from there on, and then anew.
    assert web.seen[f"/{name}/x"] == (2 * requests if fault == "cut" else requests)
    # Two bad answers and a good one: nobody hears of them.
    web.begin(lambda path, before: fault if before < requests - 1 else None)
    assert storage.get("x") == bytes(range(200))
    web.begin(lambda path, before: fault if before < requests - 1 else None)
    assert storage.get_part("x", 50, 100) == bytes(range(50, 100))


@pytest.mark.parametrize("fault", [500, "hang", "drop"])
def test_a_put_that_fails_is_made_again(fault: Any, web: Any, monkeypatch: Any) -> None:
    (web.folder / "put").mkdir(exist_ok=True)
    (web.folder / "put" / "x").write_bytes(b"")
    monkeypatch.setenv("AWS_ENDPOINT_URL", web.url)
    storage = open_storage("s3://put", patience=QUICK)
    web.begin(lambda path, before: fault if before < 2 else None)
    storage.put("x", b"123")
    assert [one.method for one in web.requests][-1] == "PUT"
    web.begin(lambda path, before: fault)
    with pytest.raises(RemoteError, match=r"s3://put/x could not be written: .*, 3 times"):
        storage.put("x", b"123")


def test_a_slow_server_is_no_dead_one(web: Any) -> None:
    Folder(web.folder / "slow").put("x", b"1")
    web.begin(delay_s=0.1)
    assert open_storage(f"{web.url}/slow", patience=QUICK).get("x") == b"1"


def test_a_dead_server_is_named_soon(monkeypatch: Any) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    started = time.monotonic()
    for address in ("s3://organs", "http://127.0.0.1:9"):
        storage = open_storage(address, patience=QUICK)
        for task, words in (
            (storage.get, ("x",)),
            (storage.info, ("x",)),
            (storage.put, ("x", b"")),
        ):
            with pytest.raises(RemoteError, match="refused, 3 times; try again later"):
                task(*words)
    with pytest.raises(RemoteError, match="lookup address"):
        open_storage("http://no.such.host.invalid", patience=QUICK).get("x")
    assert time.monotonic() - started < 5


def test_a_bucket_that_does_not_exist_is_named(bucket: str) -> None:
    storage = open_storage("s3://nobody", patience=QUICK)
    for task in (
        lambda: storage.get("x"),
        lambda: storage.put("x", b""),
        lambda: list(storage.list()),
        lambda: storage.delete("x"),
    ):
        with pytest.raises(RemoteError, match="the bucket 'nobody' does not exist"):
            task()


def test_a_server_without_ranges_is_named(web: Any) -> None:
    Folder(web.folder / "whole").put("x", bytes(200))
    storage = open_storage(f"{web.url}/whole", patience=QUICK)
    web.begin(lambda path, before: "whole")
    assert storage.get("x") == bytes(200)
    for part in ((3, 7), (-4, None)):
        with pytest.raises(RemoteError, match="sends whole objects only"):
            storage.get_part("x", *part)


def test_web_servers_are_not_listed(web: Any) -> None:
    with pytest.raises(RemoteError, match=r"a web server tells no names of objects; .* s3://"):
        next(iter(open_storage(web.url).list()))


def test_requests_are_signed_where_there_is_an_account(web: Any, monkeypatch: Any) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "GOOGLE_BEARER_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", web.url)
    monkeypatch.setenv("GOOGLE_BASE_URL", web.url)
    Folder(web.folder / "signed").put("x", b"1")
    web.begin()
    for address in ("s3://signed", "gs://signed"):
        assert open_storage(address).get("x") == b"1"
    assert [one.authorization for one in web.requests] == [None, None]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    with pytest.raises(RemoteError, match="the account of the environment"):
        open_storage("s3://signed")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("GOOGLE_BEARER_TOKEN", "token")
    web.begin()
    for address in ("s3://signed", "gs://signed"):
        assert open_storage(address).get("x") == b"1"
    first, second = (one.authorization or "" for one in web.requests)
    assert first.startswith("AWS4-HMAC-SHA256 Credential=somebody/")
    assert "/eu-west-1/s3/" in first
    assert second == "Bearer token"
    web.begin(lambda path, before: 403)
    with pytest.raises(RemoteError, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        open_storage("s3://signed").get("x")
    with pytest.raises(RemoteError, match="set GOOGLE_APPLICATION_CREDENTIALS"):
        open_storage("gs://signed").get("x")


@pytest.mark.parametrize(
    "address", ["ftp://host/x", "s3://", "s3:///organ", "https://host/x?signature=1", "http://"]
)
def test_addresses_that_cannot_be_one(address: str) -> None:
    with pytest.raises(InputError, match="cannot be opened"):
        open_storage(address)


def test_paths_are_no_addresses(tmp_path: Path) -> None:
    assert not is_address(tmp_path)
    assert not is_address("C:/organ.ome.zarr")
    assert open_storage(tmp_path) == Folder(tmp_path) == open_storage(tmp_path.as_uri())


def test_a_folder_that_refuses_is_named(tmp_path: Path) -> None:
    storage = Folder(tmp_path / "file")
    (tmp_path / "file").write_text("no folder")
    assert storage.get("x") is None
    assert list(storage.list()) == []
    with pytest.raises(HipctError, match="Not a directory"):
        storage.put("x/y", b"")


def test_without_obstore_one_sentence_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['obstore'] = None\n"
        "from hipct.volume.storage import open_storage\n"
        "open_storage('/tmp').get('x')\n"
        "open_storage('s3://bucket')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert MissingExtra.__name__ in done.stderr
    assert "s3://bucket needs the package obstore" in done.stderr
    assert "pip install 'hipct[remote]'" in done.stderr
