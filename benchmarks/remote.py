"""What reading small parts of volumes on a server costs: requests, bytes, time, processor.

A server in another process of this machine, with a pause of its own before each answer: 0 shows
what the client costs, 20 ms what a server in the same country does. First 512 parts of 32 KiB of an
object, 32 on their way at once, through obstore and fsspec. Then planes of a sharded volume (chunks
of 64, shards of 64 x 512 x 512), by Zarr's own codec for shards and by hipct's view of chunks,
whose second plane finds the indexes of the shards known.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec
from zarr.storage import FsspecStore, ObjectStore

from benchmarks.common import options, versions, write_table
from hipct.volume.storage import open_storage
from hipct.volume.storage_zarr import ReadStore, chunkwise

PART = 32 << 10
AT_ONCE = 32
PAUSES_MS = (0, 20)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # Headers and body are two writes: the second would wait.
    server: _Server

    def do_GET(self) -> None:
        server = self.server
        time.sleep(server.state["pause"] / 1000)
        data = server.file(self.path)
        if data is None:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        part, whole = self.headers.get("Range"), len(data)
        start, stop = 0, whole
        if part:
            first, last = part.removeprefix("bytes=").split("-")
            start = int(first) if first else max(0, whole - int(last))
            stop = min(whole, int(last) + 1) if first and last else whole
        self.send_response(206 if part else 200)
        self.send_header("Content-Length", str(stop - start))
        if part:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{whole}")
        self.end_headers()
        with server.lock:
            server.state["requests"] += 1
            server.state["bytes"] += stop - start
        self.wfile.write(data[start:stop])

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.lock = folder, multiprocessing.Lock()
        self.state: dict[str, float] = {"pause": 0, "requests": 0, "bytes": 0}
        self._files: dict[str, bytes] = {}

    def file(self, path: str) -> bytes | None:
        """Bytes of a file, from memory after the first time."""
        if path not in self._files:
            file = self.folder / path.lstrip("/")
            if not file.is_file():
                return None
            self._files[path] = file.read_bytes()
        return self._files[path]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are no news."""


def _serve(folder: Path, pipe: Any) -> None:
    import threading

    server = _Server(folder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pipe.send(server.server_port)
    while (pause := pipe.recv()) is not None:
        with server.lock:
            pipe.send((server.state["requests"], server.state["bytes"]))
            server.state = {"pause": pause, "requests": 0, "bytes": 0}


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, Callable[[float], tuple[int, int]]]]:
    """Address of a server, and a call that sets its pause and tells what it has answered."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(folder, theirs))
    process.start()
    address = f"http://127.0.0.1:{ours.recv()}"

    def begin(pause_ms: float) -> tuple[int, int]:
        ours.send(pause_ms)
        requests, size = ours.recv()
        return int(requests), int(size)

    try:
        yield address, begin
    finally:
        ours.send(None)
        process.join()


def parts_readers(address: str, starts: list[int]) -> dict[str, Callable[[], object]]:
    """Calls that read all parts."""
    import fsspec
    import obstore

    storage = open_storage(f"{address}/parts")
    pool = ThreadPoolExecutor(AT_ONCE)
    files = fsspec.filesystem("http", asynchronous=False)
    rust = obstore.store.HTTPStore.from_url(f"{address}/parts", client_options={"allow_http": True})

    async def by_obstore() -> None:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(start: int) -> None:
            async with gate:
                await obstore.get_range_async(rust, "object", start=start, length=PART)

        await asyncio.gather(*map(one, starts))

    def by_fsspec(filesystem: Any, path: str) -> None:
        filesystem.cat_ranges(
            [path] * len(starts),
            starts,
            [start + PART for start in starts],
            batch_size=AT_ONCE,
            on_error="raise",
        )

    readers: dict[str, Callable[[], object]] = {
        "obstore, 32 threads (hipct)": lambda: list(
            pool.map(lambda start: storage.get_part("object", start, start + PART), starts)
        ),
        "obstore, async": lambda: asyncio.run(by_obstore()),
        "fsspec, http": lambda: by_fsspec(files, f"{address}/parts/object"),
    }
    with suppress(ImportError):
        import s3fs

        bucket = s3fs.S3FileSystem(anon=True, endpoint_url=address)
        readers["fsspec, s3"] = lambda: by_fsspec(bucket, "parts/object")
    return readers


def view_readers(address: str, region: Any) -> dict[str, Callable[[], object]]:
    """Calls that open the volume and read a plane of it, and one that reads it again."""
    url = f"{address}/volume.zarr"

    def opened(store: Any) -> zarr.Array[Any]:
        return zarr.open_array(store, mode="r", zarr_format=3)

    def by_fsspec() -> object:
        return opened(FsspecStore.from_url(url, read_only=True))[region]

    def by_obstore() -> object:
        import obstore

        rust = obstore.store.HTTPStore.from_url(url, client_options={"allow_http": True})
        return opened(ObjectStore(rust, read_only=True))[region]

    kept: list[zarr.Array[Any]] = []

    def by_hipct() -> object:
        kept[:] = [chunkwise(opened(ReadStore(open_storage(url))))]
        return kept[0][region]

    return {
        "zarr over fsspec": by_fsspec,
        "zarr over obstore": by_obstore,
        "hipct": by_hipct,
        "hipct, next plane": lambda: kept[0][region],
    }


def table(
    what: str,
    readers: dict[str, Callable[[], object]],
    begin: Callable[[float], tuple[int, int]],
    repeats: int,
) -> Iterator[dict[str, object]]:
    """Medians of time and processor time in turns, for each pause of the server."""
    for pause in PAUSES_MS:
        wall: dict[str, list[float]] = {name: [] for name in readers}
        cpu: dict[str, list[float]] = {name: [] for name in readers}
        asked: dict[str, tuple[int, int]] = {}
        for turn in range(repeats + 1):
            for name, read in readers.items():
                begin(pause)
                started, busy = time.perf_counter(), time.process_time()
                read()
                if turn:  # The first one warms up.
                    wall[name].append(time.perf_counter() - started)
                    cpu[name].append(time.process_time() - busy)
                asked[name] = begin(pause)
        for name in readers:
            requests, size = asked[name]
            yield {
                "what": what,
                "by": name,
                "pause ms": pause,
                "requests": requests,
                "MB": size / 1e6,
                "ms": 1000 * float(np.median(wall[name])),
                "processor ms": 1000 * float(np.median(cpu[name])),
                "spread": max(wall[name]) / min(wall[name]),
            }


def main() -> None:
    """Measure and write the table."""
    chosen = options(__doc__)
    rng = np.random.default_rng(0)
    shape = (128, 256, 256) if chosen.quick else (256, 1024, 1024)
    number = 64 if chosen.quick else 512
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "parts").mkdir()
        (folder / "parts" / "object").write_bytes(rng.bytes(PART * 2 * number))
        volume = zarr.create_array(
            folder / "volume.zarr",
            shape=shape,
            dtype="u2",
            chunks=(64, 64, 64),
            shards=(64, min(512, shape[1]), min(512, shape[2])),
            compressors=BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"),
        )
        for start in range(0, shape[0], 64):
            volume[start : start + 64] = rng.normal(24000, 700, (64, *shape[1:]))
        starts = [int(s) for s in rng.integers(0, PART * (2 * number - 1), number)]
        rows = []
        with served(folder) as (address, begin):
            readers = parts_readers(address, starts)
            rows += table(f"{number} parts of 32 KiB", readers, begin, chosen.repeats)
            for axis in range(3):
                region = tuple(
                    n // 2 + 5 if k == axis else slice(None) for k, n in enumerate(shape)
                )
                plane = f"plane across {'zyx'[axis]}"
                rows += table(plane, view_readers(address, region), begin, chosen.repeats)
    write_table(
        "remote", rows, chosen, facts=versions(("obstore", "fsspec", "aiohttp", "s3fs", "zarr"))
    )


if __name__ == "__main__":
    main()
