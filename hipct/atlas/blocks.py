"""Arrays of N5 and of Zarr 2 as they lie in the atlas, read block by block, given as (z, y, x).

N5: https://github.com/saalfeldlab/n5#file-system-specification (version 4.0.0). A block is a
header (big-endian: mode, number of axes, edges) and compressed big-endian values, the first axis
running fastest. Zarr 2: https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from hipct.atlas.remote import ObjectStore
from hipct.core.errors import FormatError, InputError

Shape3 = tuple[int, int, int]
Place = tuple[int, int, int]
Order = Literal["xyz", "zyx"]
_READERS = 8
"""Blocks on their way at once: waiting for a server costs no core."""


def readers() -> ThreadPoolExecutor:
    """Threads to read blocks with."""
    return ThreadPoolExecutor(_READERS, thread_name_prefix="hipct-atlas")


class Codec(Protocol):
    """Bytes of a block to its values."""

    def decode(self, data: bytes, what: str) -> NDArray[Any]:
        """Values in the stored order of axes."""


@dataclass(frozen=True)
class BlockArray:
    """One level: reads the blocks that a region touches, when it is sliced.

    Attributes
    ----------
    store, path : where its blocks lie
    shape, chunks : voxels of the array and of a block along z, y, x
    stored : order of the axes as they are stored, C order
    separator : between the numbers of a block's key
    """

    store: ObjectStore
    path: str
    shape: Shape3
    chunks: Shape3
    dtype: np.dtype[Any]
    stored: Order
    separator: str
    fill: int
    codec: Codec
    compression: str
    key_order: Order

    @property
    def ndim(self) -> int:
        """Three."""
        return 3

    @property
    def size(self) -> int:
        """Number of voxels."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes without compression."""
        return self.size * self.dtype.itemsize

    def key(self, place: Place) -> str:
        """Key of the block number (z, y, x)."""
        numbers = place if self.key_order == "zyx" else place[::-1]
        return f"{self.path}/{self.separator.join(str(n) for n in numbers)}"

    def decode(self, data: bytes | None, place: Place) -> NDArray[Any]:
        """Values (z, y, x) of a block, cut at the ends of the array.

        Raises
        ------
        FormatError
            If the bytes are no block of this array.
        """
        inside = tuple(min(c, n - p * c) for p, c, n in zip(place, self.chunks, self.shape))
        if data is None:
            return np.full(inside, self.fill, self.dtype)
        what = f"The block {self.store.address.rstrip('/')}/{self.key(place)}"
        values = self.codec.decode(data, what)
        values = values if self.stored == "zyx" else values.transpose()
        if any(n < m for n, m in zip(values.shape, inside)):
            raise FormatError(f"{what} has {values.shape} voxels (z, y, x) instead of {inside}.")
        z, y, x = inside
        return values[:z, :y, :x]

    def places(self, box: tuple[slice, slice, slice]) -> Iterator[Place]:
        """Numbers of the blocks that a box touches."""
        ranges = (range(part.start // c, -(-part.stop // c)) for part, c in zip(box, self.chunks))
        yield from product(*ranges)

    def load(self, place: Place) -> NDArray[Any]:
        """Values (z, y, x) of a block, from the store."""
        return self.decode(self.store.get(self.key(place)), place)

    def read(
        self,
        box: tuple[slice, slice, slice],
        load: Callable[[Place], NDArray[Any]] | None = None,
        pool: ThreadPoolExecutor | None = None,
    ) -> NDArray[Any]:
        """Values of a box.

        Parameters
        ----------
        box : three slices with start and stop inside of the array
        load : callable, optional
            Gives the values of a block; default: :meth:`load`. Called from several threads.
        pool : ThreadPoolExecutor, optional
            Threads to read with (:func:`readers`); default: new ones.
        """
        values = np.empty([part.stop - part.start for part in box], self.dtype)
        load = load or self.load

        def copy(place: Place) -> None:
            block = load(place)
            source, target = [], []
            for number, chunk, extent, part in zip(place, self.chunks, block.shape, box):
                first = number * chunk
                start, stop = max(part.start, first), min(part.stop, first + extent)
                source.append(slice(start - first, stop - first))
                target.append(slice(start - part.start, stop - part.start))
            values[tuple(target)] = block[tuple(source)]

        places = list(self.places(box))
        if len(places) == 1:
            copy(places[0])
            return values
        if pool is not None:
            _all(pool, copy, places)
        else:
            with readers() as own:
                _all(own, copy, places)
        return values

    def __getitem__(self, region: Any) -> NDArray[Any]:
        """Values of a region: slices, whole numbers and ``...``, as NumPy takes them."""
        box, picks = _box(region, self.shape)
        empty = any(part.stop <= part.start for part in box)
        values = (
            np.empty([max(0, part.stop - part.start) for part in box], self.dtype)
            if empty
            else self.read(box)
        )
        picked: NDArray[Any] = values[picks]
        return picked


@dataclass(frozen=True)
class N5Codec:
    """Blocks of N5."""

    dtype: np.dtype[Any]
    compressor: Any

    def decode(self, data: bytes, what: str) -> NDArray[Any]:
        """Values (z, y, x): the header tells the edges x, y, z."""
        try:
            mode, axes = struct.unpack_from(">HH", data)
            edges = struct.unpack_from(f">{axes}I", data, 4)
        except struct.error as error:
            raise FormatError(f"{what} has no header of N5 ({len(data)} bytes).") from error
        if mode != 0 or axes != 3:
            raise FormatError(
                f"{what} has the mode {mode} and {axes} axes; known are mode 0 and 3 axes."
            )
        big = self.dtype.newbyteorder(">")
        flat = _unpacked(data[16:], self.compressor, prod(edges) * big.itemsize, what)
        values = np.frombuffer(flat, big).reshape(edges[::-1])
        return values.astype(self.dtype.newbyteorder("="))


@dataclass(frozen=True)
class ZarrCodec:
    """Chunks of Zarr 2: always whole, also at the ends of the array."""

    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    order: Literal["C", "F"]
    compressor: Any

    def decode(self, data: bytes, what: str) -> NDArray[Any]:
        """Values in the stored order."""
        size = prod(self.chunks) * self.dtype.itemsize
        flat = _unpacked(data, self.compressor, size, what)
        values = np.frombuffer(flat, self.dtype).reshape(self.chunks, order=self.order)
        return values.astype(self.dtype.newbyteorder("="), copy=False)


def n5_array(store: ObjectStore, path: str, attributes: Mapping[str, Any]) -> BlockArray:
    """Array of N5 ``attributes.json``: dimensions and blocks are listed x, y, z.

    Raises
    ------
    FormatError
        If it is no array of three axes, or compressed in an unknown way.
    """
    where = f"{store.address.rstrip('/')}/{path}/attributes.json"
    try:
        shape, chunks = attributes["dimensions"][::-1], attributes["blockSize"][::-1]
        dtype = np.dtype(attributes["dataType"])
        compression = attributes.get("compression", {"type": "raw"})
        compressor = _n5_compressor(compression)
    except (LookupError, TypeError, ValueError) as error:
        raise FormatError(f"{where} cannot be used ({type(error).__name__}: {error}).") from error
    return BlockArray(
        store=store,
        path=path,
        shape=_three(shape, where),
        chunks=_three(chunks, where),
        dtype=dtype,
        stored="zyx",
        separator="/",
        fill=0,
        codec=N5Codec(dtype, compressor),
        compression=_told(compression, "type"),
        key_order="xyz",
    )


def zarr_array(
    store: ObjectStore, path: str, metadata: Mapping[str, Any], stored: Order
) -> BlockArray:
    """Array of Zarr 2 ``.zarray`` whose axes are stored in the given order.

    Raises
    ------
    FormatError
        If it is no array of three axes, filtered, or compressed in an unknown way.
    """
    where = f"{store.address.rstrip('/')}/{path}/.zarray"
    try:
        if metadata.get("filters"):
            raise ValueError(f"filters {metadata['filters']}")
        shape, chunks = list(metadata["shape"]), list(metadata["chunks"])
        dtype = np.dtype(metadata["dtype"])
        order = metadata.get("order", "C")
        told = metadata.get("compressor")
        codec = ZarrCodec(dtype, tuple(chunks), order, _codec(told) if told else None)
        fill = int(metadata.get("fill_value") or 0)
    except (LookupError, TypeError, ValueError) as error:
        raise FormatError(f"{where} cannot be used ({type(error).__name__}: {error}).") from error
    turn = 1 if stored == "zyx" else -1
    return BlockArray(
        store=store,
        path=path,
        shape=_three(shape[::turn], where),
        chunks=_three(chunks[::turn], where),
        dtype=dtype.newbyteorder("="),
        stored=stored,
        separator=str(metadata.get("dimension_separator", ".")),
        fill=fill,
        codec=codec,
        compression=_told(told or {"id": "raw"}, "id"),
        key_order=stored,
    )


def _all(pool: ThreadPoolExecutor, task: Callable[[Place], None], places: list[Place]) -> None:
    """Run a task for all places; after an error none of them goes on in the background."""
    futures = [pool.submit(task, place) for place in places]
    try:
        for future in futures:
            future.result()
    finally:
        for future in futures:
            future.cancel()
        wait(futures)


def _unpacked(data: bytes, compressor: Any, size: int, what: str) -> bytes:
    if getattr(compressor, "codec_id", None) == "blosc":
        # Its decoder trusts the header, and reads on behind the end of a torn block.
        told, held = struct.unpack_from("<4xI4xI", data) if len(data) >= 16 else (0, 0)
        if (told, held) != (size, len(data)):
            raise FormatError(
                f"{what} is damaged: {len(data)} bytes of {held}, which unpack to {told} bytes "
                f"instead of {size}."
            )
    try:
        flat = data if compressor is None else bytes(compressor.decode(data))
    except (RuntimeError, ValueError, OSError, EOFError, MemoryError) as error:
        raise FormatError(f"{what} is damaged ({error}).") from error
    if len(flat) != size:
        raise FormatError(f"{what} is damaged: it holds {len(flat)} bytes instead of {size}.")
    return flat


def _n5_compressor(compression: Mapping[str, Any]) -> Any:
    kind = compression["type"]
    if kind == "raw":
        return None
    if kind == "gzip" and compression.get("useZlib"):
        kind = "zlib"
    names = {"bzip2": "bz2", "xz": "lzma"}
    if kind not in ("blosc", "gzip", "zlib", "bzip2", "xz", "zstd"):
        raise ValueError(f"compression {kind!r}")
    return _codec({"id": names.get(kind, kind)})


def _codec(configuration: Mapping[str, Any]) -> Any:
    # Decoding needs no more than the name: streams tell their own parameters.
    from numcodecs.registry import get_codec

    return get_codec({"id": configuration["id"]})


def _told(compression: Mapping[str, Any], name: str) -> str:
    inner = compression.get("cname")
    return f"{compression[name]}-{inner}" if inner else str(compression[name])


def _three(values: Any, where: str) -> Shape3:
    numbers = tuple(int(v) for v in values)
    if len(numbers) != 3 or min(numbers) < 1:
        raise FormatError(f"{where} tells {numbers}; three numbers above 0 are needed.")
    return (numbers[0], numbers[1], numbers[2])


def _box(region: Any, shape: Shape3) -> tuple[tuple[slice, slice, slice], tuple[Any, ...]]:
    """Slices that hold a region, and the index that takes the region out of them."""
    given = region if isinstance(region, tuple) else (region,)
    if sum(part is Ellipsis for part in given) > 1:
        raise InputError(f"The region {region} has more than one '...'.")
    if Ellipsis not in given:
        given = (*given, Ellipsis)
    at = given.index(Ellipsis)
    missing = 3 - (len(given) - 1)
    if missing < 0:
        raise InputError(f"The region {region} has more than three axes.")
    given = (*given[:at], *[slice(None)] * missing, *given[at + 1 :])
    box: list[slice] = []
    picks: list[Any] = []
    for part, n in zip(given, shape):
        if isinstance(part, slice):
            start, stop, step = part.indices(n)
            if step < 1:
                raise InputError(f"The region {region} runs backwards; turn it after reading.")
            box.append(slice(start, max(start, stop)))
            picks.append(slice(None, None, step))
            continue
        index = part.__index__()
        if not -n <= index < n:
            raise IndexError(f"index {index} is out of {n} voxels")
        box.append(slice(index % n, index % n + 1))
        picks.append(0)
    return (box[0], box[1], box[2]), tuple(picks)
