"""A bucket like that of the atlas, small, as a folder and behind a server with bad days."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest

from hipct.atlas.catalogue import load_catalogue
from hipct.atlas.dataset import AtlasSet

BUCKET = "ucl-hip-ct-35a68e99feaae8932b1d44da0358940b"
SHAPE = (45, 38, 51)
BLOCK = 16
VOXEL_UM = 24.132
LEVELS = 3
TEMPLATE = "A186_lung_right_complete-organ_24.132um_bm18"


def halved(values: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 x 2 voxels, of those that exist at odd ends; rounded half to even."""
    padded = np.full([n + n % 2 for n in values.shape], np.nan)
    padded[tuple(slice(n) for n in values.shape)] = values
    z, y, x = (n // 2 for n in padded.shape)
    blocks = padded.reshape(z, 2, y, 2, x, 2)
    return np.rint(np.nanmean(blocks, axis=(1, 3, 5))).astype(np.uint16)


def write_n5(folder: Path, levels: list[np.ndarray], compression: dict[str, Any]) -> None:
    """N5 as its specification says: attributes.json, blocks with a header, big-endian."""
    folder.mkdir(parents=True)
    (folder / "attributes.json").write_text(json.dumps({"n5": "2.0.0"}))
    for number, values in enumerate(levels):
        level = folder / f"s{number}"
        level.mkdir()
        attributes = {
            "dataType": "uint16",
            "dimensions": list(values.shape[::-1]),
            "blockSize": [BLOCK] * 3,
            "compression": compression,
        }
        (level / "attributes.json").write_text(json.dumps(attributes))
        for place in np.ndindex(*(-(-n // BLOCK) for n in values.shape)):
            block = values[tuple(slice(p * BLOCK, (p + 1) * BLOCK) for p in place)]
            if not block.any():
                continue
            header = struct.pack(">HHIII", 0, 3, *block.shape[::-1])
            body = np.ascontiguousarray(block, ">u2").tobytes()
            kind = {"xz": "lzma", "bzip2": "bz2"}.get(compression["type"], compression["type"])
            if kind == "blosc":
                codec = numcodecs.Blosc("zstd", 5, numcodecs.Blosc.BITSHUFFLE)
            elif kind != "raw":
                codec = numcodecs.get_codec({"id": kind})
            z, y, x = place
            file = level / str(x) / str(y) / str(z)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(header + (body if kind == "raw" else bytes(codec.encode(body))))


def write_zarr(folder: Path, levels: list[np.ndarray]) -> None:
    """OME-Zarr 0.4 with the recorded quirks: axes x, y, z, translation before scale."""
    folder.mkdir(parents=True)
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    codec = numcodecs.Blosc("zstd", 5, numcodecs.Blosc.BITSHUFFLE)
    datasets = []
    for number, values in enumerate(levels):
        stored = np.ascontiguousarray(values.T)
        level = folder / str(number)
        level.mkdir()
        metadata = {
            "zarr_format": 2,
            "shape": list(stored.shape),
            "chunks": [BLOCK] * 3,
            "dtype": "<u2",
            "compressor": codec.get_config(),
            "fill_value": 0,
            "order": "C",
            "filters": None,
            "dimension_separator": "/",
        }
        (level / ".zarray").write_text(json.dumps(metadata))
        for place in np.ndindex(*(-(-n // BLOCK) for n in stored.shape)):
            chunk = np.zeros((BLOCK,) * 3, "<u2")
            part = stored[tuple(slice(p * BLOCK, (p + 1) * BLOCK) for p in place)]
            if not part.any():
                continue
            chunk[tuple(slice(n) for n in part.shape)] = part
            file = level.joinpath(*(str(p) for p in place))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(codec.encode(chunk))
        steps = [
            {"type": "translation", "translation": [0.5] * 3},
            {"type": "scale", "scale": [VOXEL_UM * 2**number] * 3},
        ]
        datasets.append({"path": str(number), "coordinateTransformations": steps})
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "xyz"]
    multiscale = {"version": "0.4", "name": "", "axes": axes, "datasets": datasets}
    (folder / ".zattrs").write_text(json.dumps({"multiscales": [multiscale]}))


@dataclass(frozen=True)
class Bucket:
    """Folder of the bucket, descriptions of what it holds, and the truth.

    ``folder/BUCKET/...`` is what ``gs://BUCKET/...`` would be.
    """

    folder: Path
    descriptions: Path
    levels: list[np.ndarray]

    def set_named(self, name: str) -> AtlasSet:
        """``n5`` or ``zarr``."""
        return load_catalogue(self.descriptions)[name]

    def path(self, name: str) -> Path:
        """Folder of a data set."""
        return self.folder / BUCKET / "D1" / "lung" / name


def describe(
    folder: Path, name: str, url: str, *, shape: tuple[int, ...] = SHAPE, **changes: Any
) -> None:
    """A description like those of the atlas, of a set of another name, size and address."""
    description = json.loads(json.dumps(dict(load_catalogue()[TEMPLATE].description)))
    description |= {"name": name, "registration": None, **changes}
    description["data"] = {"shape": list(shape[::-1]), "voxel_size_um": VOXEL_UM, "gcs_url": url}
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(description))


def make_bucket(root: Path) -> Bucket:
    """One set as N5 and as OME-Zarr."""
    pytest.importorskip("hoa_tools")
    generator = np.random.default_rng(7)
    finest = generator.integers(1, 65536, SHAPE, dtype=np.uint16)
    finest[:BLOCK, :BLOCK, BLOCK : 2 * BLOCK] = 0
    levels = [finest]
    while len(levels) < LEVELS:
        levels.append(halved(levels[-1]))
    bucket = Bucket(root / "mirror", root / "descriptions", levels)
    write_n5(bucket.path("n5"), levels, {"type": "blosc", "cname": "zstd"})
    write_zarr(bucket.path("zarr"), levels)
    for name in ("n5", "zarr"):
        describe(bucket.descriptions, name, f"{name}://gs://{BUCKET}/D1/lung/{name}/")
    return bucket


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Bucket:
    """A bucket that tests read."""
    return make_bucket(tmp_path_factory.mktemp("bucket"))


@pytest.fixture
def n5_writer() -> Callable[[Path, list[np.ndarray], dict[str, Any]], None]:
    """Writes N5."""
    return write_n5


@pytest.fixture
def describer() -> Callable[..., None]:
    """Describes a set of another size or address."""
    return describe


@dataclass
class BadDays:
    """What a server does wrong: the first ``times`` requests of a path's end fail."""

    url: str = ""
    kind: str = ""
    times: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    stall: threading.Event = field(default_factory=threading.Event)

    def fails(self, path: str) -> bool:
        """Whether this request goes wrong."""
        self.asked.append(path)
        for end, left in self.times.items():
            if left and path.endswith(end):
                self.times[end] -= 1
                return True
        return False


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, days: BadDays, **words: Any) -> None:
        self.days = days
        super().__init__(*args, **words)

    def log_message(self, *args: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        if not self.days.fails(self.path):
            super().do_GET()
        elif self.days.kind == "stall":
            self.days.stall.wait(20)
            self.close_connection = True
        elif self.days.kind == "drip":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            while not self.days.stall.wait(0.05):
                self.wfile.write(b"x")
        elif self.days.kind == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x" * 10)
            self.close_connection = True
        elif self.days.kind == "checksum":
            self.send_response(200)
            self.send_header("Content-Length", "3")
            self.send_header("x-goog-hash", "crc32c=AAAAAA==")
            self.end_headers()
            self.wfile.write(b"abc")
        else:
            self.send_error(int(self.days.kind))


@pytest.fixture
def server(bucket: Bucket) -> Iterator[BadDays]:
    """The bucket behind a server on this machine."""
    days = BadDays()
    handler = partial(_Handler, days=days, directory=str(bucket.folder))
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    http.daemon_threads = True
    days.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield days
    finally:
        days.stall.set()
        http.shutdown()
        thread.join()
        http.server_close()
