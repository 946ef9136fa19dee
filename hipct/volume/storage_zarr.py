"""Zarr arrays over a storage: read-only, many requests at a time, shards chunk by chunk.

Zarr's codec for shards reads the index of a shard anew for every selection, and in zarr 3.1 the
chunks of a shard one after the other. A plane across a shard of 8 x 8 x 1 chunks takes 65 round
trips to the server then, all in a row. :class:`ChunkStore` shows the same array without shards:
its keys are chunks, whose places it takes from the indexes, each of which it reads once. Zarr's own
pipeline then reads many chunks at a time and decodes them, whatever their codecs.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from math import prod
from typing import Any, TypeVar

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
)
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore

from hipct.core.errors import FormatError, RemoteError
from hipct.storage.shards import index_bytes, read_index
from hipct.volume.storage import Folder, Storage

_CHUNKS_TOGETHER = 4
"""Zarr reads 10 lots of chunks at a time, and of each lot all chunks: waiting costs no core."""
_INDEXES = 4096
"""Kept of one array; an index of 64 chunks has a kilobyte."""
_METADATA = "zarr.json"
_INDEX_CODECS = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
_EMPTY = 2**64 - 1

Place = tuple[int, ...]
Result = TypeVar("Result")


class ReadStore(Store):
    """A storage as a store of Zarr, for reading."""

    def __init__(self, storage: Storage) -> None:
        super().__init__(read_only=True)
        self.storage = storage

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and str(other) == str(self)

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        return self.storage.address

    def fetch(self, key: str, part: ByteRequest | None = None) -> bytes | None:
        """An object or a part of it; None where there is none."""
        if part is None:
            return self.storage.get(key)
        if isinstance(part, RangeByteRequest):
            return self.storage.get_part(key, part.start, part.end)
        if isinstance(part, OffsetByteRequest):
            return self.storage.get_part(key, part.offset)
        return self.storage.get_part(key, -part.suffix)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """An object or a part of it; None where there is none."""
        data = await _threaded(lambda: self.fetch(key, byte_range))
        return None if data is None else prototype.buffer.from_bytes(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Parts of several objects."""
        return await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges))

    async def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        return await _threaded(lambda: self.storage.info(key)) is not None

    @property
    def supports_writes(self) -> bool:
        """No."""
        return False

    @property
    def supports_deletes(self) -> bool:
        """No."""
        return False

    @property
    def supports_listing(self) -> bool:
        """No: what there is stands in the metadata, and web servers cannot list."""
        return False

    async def set(self, key: str, value: Buffer) -> None:  # noqa: ARG002
        """Refused: volumes are written by their own writer."""
        self._check_writable()

    async def delete(self, key: str) -> None:  # noqa: ARG002
        """Refused."""
        self._check_writable()

    def list(self) -> AsyncIterator[str]:
        """Refused."""
        raise self._unlisted()

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:  # noqa: ARG002
        """Refused."""
        raise self._unlisted()

    def list_dir(self, prefix: str) -> AsyncIterator[str]:  # noqa: ARG002
        """Refused."""
        raise self._unlisted()

    def _unlisted(self) -> RemoteError:
        return RemoteError(f"{self} is read by the names in its metadata; it cannot be listed.")


class ChunkStore(ReadStore):
    """A sharded array as an array of its chunks.

    Parameters
    ----------
    storage : Storage
    path : str
        Where the array lies in it.
    metadata : dict
        Its ``zarr.json``.

    Raises
    ------
    FormatError
        If its index cannot be read here: another codec, or at the start of the shards.
    """

    def __init__(self, storage: Storage, path: str, metadata: dict[str, Any]) -> None:
        super().__init__(storage)
        self.path = path
        inner = metadata["codecs"][0].get("configuration", {})
        if (
            len(metadata["codecs"]) != 1
            or inner.get("index_codecs") != _INDEX_CODECS
            or inner.get("index_location", "end") != "end"
        ):
            raise FormatError(f"{self} has an index of shards in another form.")
        shard = metadata["chunk_grid"]["configuration"]["chunk_shape"]
        self._grid = tuple(s // c for s, c in zip(shard, inner["chunk_shape"]))
        encoding = metadata["chunk_key_encoding"]
        self._separator = encoding.get("configuration", {}).get(
            "separator", "/" if encoding["name"] == "default" else "."
        )
        self._begin = ["c"] if encoding["name"] == "default" else []
        self._metadata = json.dumps(
            metadata
            | {
                "codecs": inner["codecs"],
                "chunk_grid": {
                    "name": "regular",
                    "configuration": {"chunk_shape": inner["chunk_shape"]},
                },
                "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            }
        ).encode()
        self._indexes: OrderedDict[Place, _Index] = OrderedDict()
        self._lock = threading.Lock()

    def __str__(self) -> str:
        return f"{self.storage.address}/{self.path}"

    def __getstate__(self) -> dict[str, Any]:
        """Another process reads its own indexes."""
        return {**self.__dict__, "_indexes": OrderedDict(), "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def fetch(self, key: str, part: ByteRequest | None = None) -> bytes | None:
        """The metadata, or a chunk: nothing else is asked for."""
        if key == _METADATA:
            return self._metadata
        if not key.startswith("c/") or part is not None:
            return None
        place = tuple(int(n) for n in key.split("/")[1:])
        shard = tuple(p // n for p, n in zip(place, self._grid))
        name = "/".join(
            [self.path, self._separator.join([*self._begin, *(str(n) for n in shard)])]
        ).lstrip("/")
        table = self._index(shard).load(lambda: self._read_index(name))
        if table is None:
            return None
        inside = tuple(p % n for p, n in zip(place, self._grid))
        offset, length = (int(n) for n in table[np.ravel_multi_index(inside, self._grid)])
        if offset == _EMPTY:
            return None
        data = self.storage.get_part(name, offset, offset + length)
        if data is None or len(data) != length:
            raise FormatError(
                f"{self.storage.address}/{name} has changed or is truncated: chunk {inside} has "
                f"{len(data or b'')} of {length} bytes; open the volume again."
            )
        return data

    def _index(self, shard: Place) -> _Index:
        with self._lock:
            index = self._indexes.setdefault(shard, _Index())
            self._indexes.move_to_end(shard)
            if len(self._indexes) > _INDEXES:
                self._indexes.popitem(last=False)
        return index

    def _read_index(self, name: str) -> NDArray[np.uint64] | None:
        chunks = prod(self._grid)
        needed = index_bytes(chunks)
        tail = self.storage.get_part(name, -needed)
        if tail is None:
            return None
        # The length of the file is not known: a chunk behind its end is found when it is read.
        size = len(tail) if len(tail) < needed else _EMPTY
        return read_index(tail, size, chunks, f"{self.storage.address}/{name}")


class _Index:
    """The index of a shard, read by whoever comes first; the others wait, for its error too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._table: Future[NDArray[np.uint64] | None] | None = None

    def load(self, read: Callable[[], NDArray[np.uint64] | None]) -> NDArray[np.uint64] | None:
        with self._lock:
            table, first = self._table or Future(), self._table is None
            self._table = table
        if first:
            try:
                table.set_result(read())
            except BaseException as error:
                self._table = None  # Who comes later may be luckier.
                table.set_exception(error)
        return table.result()


def chunkwise(array: zarr.Array[Any]) -> zarr.Array[Any]:
    """The same array, read chunk by chunk if it has shards; else itself.

    For planes and small boxes. Whole shards are better read from the array itself, in one piece.
    The indexes of shards are kept: a volume that is written anew has to be opened again.
    """
    if getattr(array, "shards", None) is None:  # What is in memory has none either.
        return array
    store = array.store_path.store
    if isinstance(store, ReadStore):
        storage = store.storage
    elif isinstance(store, LocalStore):
        storage = Folder(store.root)
    else:
        return array
    try:
        view = ChunkStore(storage, array.path, _plain(array))
    except FormatError:
        return array
    return open_array(view)


def open_array(store: ReadStore, path: str = "") -> zarr.Array[Any]:
    """An array that asks for as many chunks at a time as a server may be asked for.

    Raises
    ------
    Exception
        Whatever Zarr raises where there is no array.
    """
    with _large_lots():
        return zarr.open_array(store, path=path, mode="r")


class _Lots:
    """Who opens arrays at present, and how Zarr's setting goes back to what the user has chosen."""

    def __init__(self) -> None:
        self.lock, self.users, self.undo = threading.Lock(), 0, ExitStack()


_lots = _Lots()


@contextmanager
def _large_lots() -> Iterator[None]:
    """Arrays opened inside, by several threads at a time, keep this size of their lots."""
    with _lots.lock:
        if not _lots.users:
            chosen = zarr.config.set({"codec_pipeline.batch_size": _CHUNKS_TOGETHER})
            _lots.undo.enter_context(chosen)
        _lots.users += 1
    try:
        yield
    finally:
        with _lots.lock:
            _lots.users -= 1
            if not _lots.users:
                _lots.undo.close()


def _plain(array: zarr.Array[Any]) -> dict[str, Any]:
    """The metadata of an array as they are stored."""
    from zarr.core.buffer import default_buffer_prototype

    stored = array.metadata.to_buffer_dict(default_buffer_prototype())[_METADATA]
    plain: dict[str, Any] = json.loads(stored.to_bytes())
    return plain


async def _threaded(task: Callable[[], Result]) -> Result:
    """Wait for a thread of its own, which does not keep the interpreter from ending.

    The threads of an executor would: a server that hangs is waited for patiently.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def settle(answer: Callable[[], None]) -> None:
        if not done.done():
            answer()

    def run() -> None:
        try:
            result = task()
            answer = partial(done.set_result, result)
        except BaseException as error:
            answer = partial(done.set_exception, error)
        with suppress(RuntimeError):  # Nobody waits any more: the loop is closed.
            loop.call_soon_threadsafe(settle, answer)

    threading.Thread(target=run, name="hipct-storage", daemon=True).start()
    return await done
