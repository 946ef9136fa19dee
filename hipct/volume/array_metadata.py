"""Metadata of one level's array: Zarr v3 with shards, or v2 with a file a chunk.

Specifications: https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html,
https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html
"""

from __future__ import annotations

from typing import Any

from hipct.storage.chunks import BLOCK_BYTES, COMPRESSION_LEVEL
from hipct.volume.layout import PyramidSpec

AXES = ("z", "y", "x")
_BIT_SHUFFLE = 2


def array_files(spec: PyramidSpec, number: int) -> dict[str, dict[str, Any]]:
    """Metadata files of a level by their names in its folder, what makes it an array last."""
    if spec.version == "0.5":
        return {"zarr.json": _array_v3(spec, number)}
    # Zarr v2 has no names of dimensions; this is what xarray and neuroglancer look for.
    return {".zattrs": {"_ARRAY_DIMENSIONS": list(AXES)}, ".zarray": _array_v2(spec, number)}


def _array_v3(spec: PyramidSpec, number: int) -> dict[str, Any]:
    level = spec.levels[number]
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    if spec.dtype.itemsize == 1:
        little = {"name": "bytes"}
    blosc = {
        "name": "blosc",
        "configuration": {
            "cname": "zstd",
            "clevel": COMPRESSION_LEVEL,
            "shuffle": "bitshuffle",
            "typesize": spec.dtype.itemsize,
            "blocksize": BLOCK_BYTES,
        },
    }
    sharding = {
        "chunk_shape": list(level.chunk),
        "codecs": [little, blosc, {"name": "crc32c"}],
        "index_codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "crc32c"},
        ],
        "index_location": "end",
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(level.shape),
        "data_type": spec.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(level.shard)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "dimension_names": list(AXES),
        "attributes": {},
        "storage_transformers": [],
    }


def _array_v2(spec: PyramidSpec, number: int) -> dict[str, Any]:
    level = spec.levels[number]
    return {
        "zarr_format": 2,
        "shape": list(level.shape),
        "chunks": list(level.chunk),
        "dtype": spec.dtype.newbyteorder("<").str,
        "compressor": {
            "id": "blosc",
            "cname": "zstd",
            "clevel": COMPRESSION_LEVEL,
            "shuffle": _BIT_SHUFFLE,
            "blocksize": BLOCK_BYTES,
        },
        "fill_value": 0,
        "order": "C",
        "filters": None,
        "dimension_separator": "/",
    }
