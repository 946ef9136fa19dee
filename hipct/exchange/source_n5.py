"""N5 datasets as sources; Zarr's own library reads them no more.

A block is one file: big-endian mode (uint16), number of axes (uint16) and size along each (uint32),
then the voxels, compressed, big-endian, x fastest. Axes of the attributes go x, y, z; a block that
does not exist is zeros. Specification: https://github.com/saalfeldlab/n5
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import struct
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.foreign import reading
from hipct.core.errors import FormatError, InputError
from hipct.core.threads import parallel_for
from hipct.exchange.source_files import AxesSource, fingerprint_of
from hipct.exchange.source_options import SourceOptions
from hipct.volume.layout import Vector3
from hipct.volume.open import MICROMETRES

_DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
_FLOATS = ("float32", "float64")
_UNITS = dict(MICROMETRES) | {"um": 1.0, "µm": 1.0, "μm": 1.0, "nm": 1e-3, "mm": 1e3, "m": 1e6}


class N5Source(AxesSource):
    """A dataset of N5; of a pyramid the finest level, ``s0``.

    Parameters
    ----------
    path : Path
        The folder of a dataset, or of a container.
    options : SourceOptions
        Which dataset of a container, and the order of its axes if they are not x, y, z.

    Raises
    ------
    InputError
        If there is no such dataset.
    FormatError
        If the attributes are broken, or the type or the compression is not known.
    """

    format = "N5"

    def __init__(self, path: Path, options: SourceOptions) -> None:
        super().__init__(path, options)
        self._folder, attributes, above = _dataset(path, options.dataset)
        with reading(self._folder / "attributes.json", "N5"):
            # Reversed, so that the last axis is the fastest as everywhere in NumPy.
            stored = tuple(int(n) for n in reversed(attributes["dimensions"]))
            self._block = tuple(int(n) for n in reversed(attributes["blockSize"]))
            kind = str(attributes["dataType"])
            self._decode = _decoder(attributes.get("compression", {"type": "raw"}), self._folder)
        if kind not in (*_DTYPES, *_FLOATS):
            raise FormatError(f"{self._folder} holds {kind}; a volume has numbers.")
        self.dtype = np.dtype(kind)
        if len(self._block) != len(stored) or min(self._block) < 1:
            raise FormatError(f"{self._folder} has blocks of {self._block} for the shape {stored}.")
        self._shape = stored
        self.place_axes(stored, options.order(), self._block)
        size = _voxel_size(attributes) or _voxel_size(above)
        if size is not None:
            z, y, x = (size[axis] for axis in self._order)
            self.voxel_size_um = (z, y, x)

    def fingerprint(self) -> str:
        """Names, sizes and times of the blocks."""
        return fingerprint_of([self._folder])

    def _read_stored(self, region: tuple[slice, slice, slice]) -> NDArray[Any]:
        bounds = [part.indices(n)[:2] for part, n in zip(region, self._shape)]
        out = np.zeros([stop - start for start, stop in bounds], self.dtype)
        ranges = [range(a // n, -(-b // n)) for (a, b), n in zip(bounds, self._block)]
        places = list(product(*ranges))

        def task(first: int, last: int) -> None:
            for place in places[first:last]:
                self._add_block(place, bounds, out)

        parallel_for(task, len(places))
        return out

    def _add_block(
        self, place: tuple[int, ...], bounds: list[tuple[int, int]], out: NDArray[Any]
    ) -> None:
        file = self._folder.joinpath(*(str(p) for p in reversed(place)))
        if not file.exists():
            return
        with reading(file, "a block of N5"):
            data = file.read_bytes()
            mode, axes = struct.unpack(">HH", data[:4])
            size = struct.unpack(f">{axes}I", data[4 : 4 + 4 * axes])[::-1]
            if mode != 0 or axes != len(place):
                raise ValueError(f"mode {mode} with {axes} axes")
            voxels = np.frombuffer(
                self._decode(data[4 + 4 * axes :]), self.dtype.newbyteorder(">")
            ).reshape(size)
        into, of = [], []
        for p, block, stored, (start, stop) in zip(place, self._block, size, bounds):
            low, high = max(start, p * block), min(stop, p * block + stored)
            into.append(slice(low - start, max(low, high) - start))
            of.append(slice(low - p * block, max(low, high) - p * block))
        out[tuple(into)] = voxels[tuple(of)]


def _dataset(path: Path, name: str | None) -> tuple[Path, Mapping[str, Any], Mapping[str, Any]]:
    """Folder and attributes of the dataset, and the attributes of what it lies in."""
    above = _attributes(path)
    if name is None and "dimensions" in above:
        return path, above, {}
    for folder in [path / name] if name else [path / "s0"]:
        attributes = _attributes(folder)
        if "dimensions" in attributes:
            return folder, attributes, above
        if "dimensions" in _attributes(folder / "s0"):
            return folder / "s0", _attributes(folder / "s0"), attributes
    found = sorted(file.parent.relative_to(path) for file in path.glob("*/**/attributes.json"))
    listed = ", ".join(str(place) for place in found[:6]) or "none"
    raise InputError(
        f"{path} has no dataset {name or 's0'}; below it lie {listed}: say which by --dataset NAME "
        "(Python: dataset=...)."
    )


def _attributes(folder: Path) -> dict[str, Any]:
    file = folder / "attributes.json"
    if not file.is_file():
        return {}
    with reading(file, "JSON"):
        content = json.loads(file.read_bytes())
        if not isinstance(content, dict):
            raise ValueError("no JSON object")
        return content


def _decoder(compression: Mapping[str, Any], folder: Path) -> Callable[[bytes], Any]:
    kind = compression["type"]
    if kind == "gzip" and compression.get("useZlib"):
        import zlib

        return zlib.decompress
    if kind == "blosc":
        from numcodecs import blosc

        return blosc.decompress  # type: ignore[no-any-return]
    if kind == "zstd":
        from numcodecs.zstd import decompress

        return decompress  # type: ignore[no-any-return]
    simple: dict[str, Callable[[bytes], Any]] = {
        "raw": bytes,
        "gzip": gzip.decompress,
        "bzip2": bz2.decompress,
        "xz": lzma.decompress,
    }
    if kind not in simple:
        raise FormatError(
            f"{folder} is compressed with {kind}; known are blosc, {', '.join(simple)}, zstd."
        )
    return simple[kind]


def _voxel_size(attributes: Mapping[str, Any]) -> Vector3 | None:
    """Voxel size in the order of the stored axes, in micrometres."""
    pixel = attributes.get("pixelResolution")
    sizes, units = attributes.get("resolution"), attributes.get("units", attributes.get("unit"))
    if isinstance(pixel, Mapping):
        sizes, units = pixel.get("dimensions"), pixel.get("unit")
    elif isinstance(pixel, list):
        sizes = pixel
    if not isinstance(sizes, list) or len(sizes) != 3 or units is None:
        return None
    names = units if isinstance(units, list) else [units] * 3
    if any(name not in _UNITS for name in names):
        return None
    a, b, c = (float(size) * _UNITS[name] for size, name in zip(sizes[::-1], names[::-1]))
    return (a, b, c)
