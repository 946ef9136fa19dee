"""Arrays of N5 and of Zarr 2 as they lie in the atlas, read block by block, given as (z, y, x).

N5: https://github.com/saalfeldlab/n5#file-system-specification (version 4.0.0). A block is a
header (big-endian: mode, number of axes, edges) and compressed big-endian values, the first axis
running fastest. Zarr 2: https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from hipct.atlas.grid import BlockGrid, Place, Shape3
from hipct.core.errors import FormatError
from hipct.volume.storage import ObjectStore

Order = Literal["xyz", "zyx"]


class Codec(Protocol):
    """Bytes of a block to its values."""

    def decode(self, data: bytes, what: str) -> NDArray[Any]:
        """Values in the stored order of axes and bytes."""


@dataclass(frozen=True)
class BlockArray(BlockGrid):
    """One level of N5 or of Zarr 2.

    Attributes
    ----------
    store, path : where its blocks lie
    stored : order of the axes as they are stored, C order
    separator : between the numbers of a block's key
    """

    store: ObjectStore
    path: str
    stored: Order
    separator: str
    codec: Codec
    key_order: Order

    def key(self, place: Place) -> str:
        """Key of the block number (z, y, x)."""
        numbers = place if self.key_order == "zyx" else place[::-1]
        return f"{self.path}/{self.separator.join(str(n) for n in numbers)}"

    def fetch(self, place: Place) -> bytes | None:
        """Bytes of a block from the store."""
        return self.store.get(self.key(place))

    def decode(self, data: bytes | None, place: Place) -> NDArray[Any]:
        """Values (z, y, x) of a block, cut at the ends of the level."""
        inside = self.inside(place)
        if data is None:
            return np.full(inside, self.fill, self.dtype)
        what = f"The block {self.store.address.rstrip('/')}/{self.key(place)}"
        values = self.codec.decode(data, what)
        values = values if self.stored == "zyx" else values.transpose()
        if any(n < m for n, m in zip(values.shape, inside)):
            raise FormatError(f"{what} has {values.shape} voxels (z, y, x) instead of {inside}.")
        z, y, x = inside
        return values[:z, :y, :x]


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
        return np.frombuffer(flat, big).reshape(edges[::-1])


@dataclass(frozen=True)
class ZarrCodec:
    """Chunks of Zarr 2: always whole, also at the ends of the array."""

    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    order: Literal["C", "F"]
    compressor: Any

    def decode(self, data: bytes, what: str) -> NDArray[Any]:
        """Values in the stored order of axes and bytes."""
        size = prod(self.chunks) * self.dtype.itemsize
        flat = _unpacked(data, self.compressor, size, what)
        return np.frombuffer(flat, self.dtype).reshape(self.chunks, order=self.order)


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


def _unpacked(data: bytes, compressor: Any, size: int, what: str) -> bytes:
    if getattr(compressor, "codec_id", None) == "blosc":
        # Its decoder trusts the header, and reads on behind the end of a torn block.
        told, held = struct.unpack_from("<4xI4xI", data) if len(data) >= 16 else (0, 0)
        if (told, held) != (size, len(data)):
            raise FormatError(
                f"{what} is damaged: it has {len(data)} bytes and its header tells {held}, which "
                f"unpack to {told}, where {size} belong."
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
