"""Rules on the files of a volume: every shard there, whole and unharmed, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import zarr

from hipct.core.errors import FormatError
from hipct.volume.finding import Finding
from hipct.volume.open import Volume
from hipct.volume.shards import damaged_chunks, index_bytes, read_index

_NAMED = 5
# Folders of a pyramid being written, and of a reconstruction with its ledger.
_UNFINISHED = (".partial", ".run")


def file_findings(volume: Volume, *, own: bool, deep: bool) -> Iterator[Finding]:
    """Findings on the files below a volume.

    Parameters
    ----------
    volume : Volume
    own : bool
        Whether hipct wrote it: then every shard is stored, zeros too. Elsewhere a missing file
        may stand for zeros.
    deep : bool
        Whether to read all bytes and check the checksum of every chunk.
    """
    yield from _unfinished(volume.path)
    expected: set[str] = {"zarr.json"}
    for level in volume.levels:
        if level.array.metadata.zarr_format != 3:
            return
        expected.add(f"{level.path}/zarr.json")
        missing: list[str] = []
        for place in product(*(range(n) for n in _grid(level.array))):
            key = f"{level.path}/{level.array.metadata.encode_chunk_key(place)}"
            expected.add(key)
            if not (volume.path / key).is_file():
                missing.append(key)
            elif _is_indexed_at_end(level.array):
                yield from _shard(volume.path / key, level.array, deep=deep)
        if missing and own:
            yield Finding(
                "shards",
                "error",
                f"Level {level.path} lacks {len(missing)} of its files ({_some(missing)}); "
                "write these layers again.",
            )
    if own:
        yield from _leftovers(volume.path, expected)


def _unfinished(path: Path) -> Iterator[Finding]:
    if path.name.endswith(_UNFINISHED) or path.absolute().parent.name.endswith(_UNFINISHED):
        yield Finding(
            "unfinished",
            "error",
            f"{path} belongs to a run that has not ended; let it end or start it again.",
        )
    for suffix in _UNFINISHED:
        sibling = path.with_name(path.name + suffix)
        if sibling.exists():
            yield Finding(
                "unfinished",
                "warning",
                f"{sibling} is left from a run that has not ended; let it end or remove it.",
            )


def _shard(file: Path, array: zarr.Array[Any], *, deep: bool) -> Iterator[Finding]:
    shards = array.shards or array.chunks
    chunks = prod(s // c for s, c in zip(shards, array.chunks))
    try:
        if deep and _has_chunk_checksums(array):
            bad = list(damaged_chunks(file.read_bytes(), chunks, file))
            if bad:
                yield Finding(
                    "checksum",
                    "error",
                    f"{file} holds {len(bad)} damaged chunks of {chunks} "
                    f"(number {_some([str(n) for n in bad])}); write this layer again.",
                )
            return
        size = file.stat().st_size
        with open(file, "rb") as opened:
            opened.seek(max(0, size - index_bytes(chunks)))
            read_index(opened.read(), size, chunks, file)
    except FormatError as error:
        yield Finding("shards", "error", str(error))
    except OSError as error:
        yield Finding("shards", "error", f"{file} cannot be read ({error.strerror or error}).")


def _leftovers(path: Path, expected: set[str]) -> Iterator[Finding]:
    extra: list[str] = []
    for folder, folders, files in os.walk(path):
        here = Path(folder).relative_to(path)
        if here == Path("."):
            # Other images may live here by the specification.
            folders[:] = [name for name in folders if name != "labels"]
        names = ((here / name).as_posix() for name in files)
        extra += [name for name in names if name not in expected]
    if extra:
        yield Finding(
            "leftovers",
            "warning",
            f"{path} holds {len(extra)} files that no level needs ({_some(sorted(extra))}); "
            "they are left from a broken run and can be removed.",
        )


def _grid(array: zarr.Array[Any]) -> tuple[int, ...]:
    return tuple(-(-n // s) for n, s in zip(array.shape, array.shards or array.chunks))


def _sharding(array: zarr.Array[Any]) -> dict[str, Any]:
    codecs = array.metadata.to_dict()["codecs"]
    first = codecs[0] if isinstance(codecs, (list, tuple)) and codecs else {}
    if not isinstance(first, dict) or first.get("name") != "sharding_indexed":
        return {}
    return dict(first["configuration"])


def _is_indexed_at_end(array: zarr.Array[Any]) -> bool:
    sharding = _sharding(array)
    names = [codec["name"] for codec in sharding.get("index_codecs", [])]
    return sharding.get("index_location") == "end" and names == ["bytes", "crc32c"]


def _has_chunk_checksums(array: zarr.Array[Any]) -> bool:
    codecs = _sharding(array).get("codecs", [])
    return bool(codecs) and codecs[-1]["name"] == "crc32c"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
