"""Rules on the files of a volume: every one there, whole and unharmed, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice, product
from math import prod
from pathlib import Path
from typing import Any

import zarr

from hipct.core.errors import FormatError, RemoteError
from hipct.storage.chunks import HEADER_BYTES, Shape, check_header
from hipct.storage.shards import damaged_chunks, index_bytes, read_index
from hipct.volume.consolidate import FILE_V2
from hipct.volume.finding import Finding
from hipct.volume.open import Volume
from hipct.volume.storage import Folder, Storage

_NAMED = 5
# Folders of a pyramid being written, and of a reconstruction with its ledger.
_UNFINISHED = (".partial", ".run")
_AT_ONCE = 16
_LINED_UP = 4096
# Elsewhere than with us a missing file stands for zeros; a volume is mostly of something else.
_MANY = 0.5


def file_findings(storage: Storage, volume: Volume, *, own: bool, deep: bool) -> Iterator[Finding]:
    """Findings on the files below a volume.

    Parameters
    ----------
    storage : Storage
        Where the volume lies.
    volume : Volume
    own : bool
        Whether hipct wrote it: then every shard (0.4: every chunk) is stored, zeros too. Elsewhere
        a missing file may stand for zeros.
    deep : bool
        Whether to read all bytes, check the checksum of every chunk, and decode those without.

    Raises
    ------
    RemoteError
        If a server does not answer.
    """
    if isinstance(storage, Folder):
        yield from _unfinished(storage.path)
    stored = _listed(storage)
    expected = {"zarr.json", ".zgroup", ".zattrs", FILE_V2}
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="hipct-check") as pool:
        for level in volume.levels:
            names = ("zarr.json", ".zarray", ".zattrs")
            expected.update(f"{level.path}/{name}" for name in names)
            missing, files = 0, 0
            some: list[str] = []
            for chunk in _in_parts(_chunk_files(level.path, level.array)):
                expected.update(key for key, _ in chunk)
                sizes = _sizes(storage, stored, [key for key, _ in chunk], pool)
                absent = [key for key, _ in chunk if sizes[key] is None]
                missing, files = missing + len(absent), files + len(chunk)
                some += absent[: _NAMED - len(some)]
                check = partial(_findings_of_file, storage, level.array, deep)
                there = [
                    _File(key, place, size)
                    for key, place in chunk
                    if (size := sizes[key]) is not None
                ]
                for found in pool.map(check, there):
                    yield from found
            yield from _missing(level.path, missing, files, some, own=own)
    if own and stored is not None:
        yield from _leftovers(storage, set(stored) - expected)


@dataclass(frozen=True)
class _File:
    """A shard, or a chunk with a file of its own."""

    key: str
    place: Shape
    size: int


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


def _listed(storage: Storage) -> dict[str, int] | None:
    """Sizes of all files by their keys; None of a web server, which tells no names."""
    if storage.address.startswith(("http://", "https://")):
        return None
    return {file.key: file.size for file in storage.list()}


def _sizes(
    storage: Storage, stored: dict[str, int] | None, keys: list[str], pool: ThreadPoolExecutor
) -> dict[str, int | None]:
    """Size of each file, None where there is none."""
    if stored is not None:
        return {key: stored.get(key) for key in keys}
    found = pool.map(storage.info, keys)
    return {key: None if info is None else info.size for key, info in zip(keys, found)}


def _chunk_files(name: str, array: zarr.Array[Any]) -> Iterator[tuple[str, Shape]]:
    """Keys and places of all shards or chunks of a level."""
    stored = array.shards or array.chunks
    for place in product(*(range(-(-n // s)) for n, s in zip(array.shape, stored))):
        yield f"{name}/{array.metadata.encode_chunk_key(place)}", place


def _in_parts(files: Iterable[tuple[str, Shape]]) -> Iterator[list[tuple[str, Shape]]]:
    rest = iter(files)
    while part := list(islice(rest, _LINED_UP)):
        yield part


def _missing(
    level: str, missing: int, files: int, some: list[str], *, own: bool
) -> Iterator[Finding]:
    named = ", ".join(some) + (f" and {missing - len(some)} more" if missing > len(some) else "")
    if missing and own:
        yield Finding(
            "shards",
            "error",
            f"Level {level} lacks {missing} of its files ({named}); write these layers again.",
        )
    elif missing > _MANY * files:
        yield Finding(
            "empty",
            "warning",
            f"Level {level} lacks {missing} of its {files} files ({named}): they are read as empty "
            "space; if it is not, the copy is not complete.",
        )


def _findings_of_file(
    storage: Storage, array: zarr.Array[Any], deep: bool, file: _File
) -> list[Finding]:
    name = f"{storage.address}/{file.key}"
    try:
        if _is_indexed_at_end(array):
            return _shard(storage, array, file, name, deep=deep)
        return _chunk(storage, array, file, name, deep=deep)
    except FormatError as error:
        return [Finding("shards", "error", str(error))]
    except RemoteError as error:
        if not isinstance(storage, Folder):
            raise
        return [Finding("shards", "error", str(error))]


def _shard(
    storage: Storage, array: zarr.Array[Any], file: _File, name: str, *, deep: bool
) -> list[Finding]:
    stored = array.shards or array.chunks
    chunks = prod(s // c for s, c in zip(stored, array.chunks))
    tail = storage.get_part(file.key, -index_bytes(chunks)) or b""
    index = read_index(tail, file.size, chunks, name)
    if not deep:
        return []
    if not _has_chunk_checksums(array):
        return _decoded(array, file, name)

    def read(start: int, stop: int) -> bytes:
        return storage.get_part(file.key, start, stop) or b""

    bad = [str(number) for number in damaged_chunks(read, index)]
    if not bad:
        return []
    return [
        Finding(
            "checksum",
            "error",
            f"{name} holds {len(bad)} damaged chunks of {chunks} (number {_some(bad)}); "
            "write this layer again.",
        )
    ]


def _chunk(
    storage: Storage, array: zarr.Array[Any], file: _File, name: str, *, deep: bool
) -> list[Finding]:
    if _is_blosc(array):
        # Readers believe the head: of a truncated chunk they make voxels of what comes to hand.
        head = storage.get_part(file.key, 0, HEADER_BYTES) or b""
        check_header(head, file.size, prod(array.chunks) * array.dtype.itemsize, name)
    elif not file.size:
        raise FormatError(f"{name} is empty; write this layer again.")
    return _decoded(array, file, name) if deep else []


def _decoded(array: zarr.Array[Any], file: _File, name: str) -> list[Finding]:
    """Nothing, if the file can be decoded: the most that can be said without checksums."""
    stored = array.shards or array.chunks
    try:
        array[tuple(slice(p * s, (p + 1) * s) for p, s in zip(file.place, stored))]
    except RemoteError:
        raise
    except Exception as error:  # Codecs raise what they like on damaged bytes.
        sentence = f"{name} cannot be decoded ({error}); write this layer again."
        return [Finding("checksum", "error", sentence)]
    return []


def _leftovers(storage: Storage, extra: set[str]) -> Iterator[Finding]:
    # Other images may live here by the specification.
    names = sorted(key for key in extra if not key.startswith("labels/"))
    if names:
        yield Finding(
            "leftovers",
            "warning",
            f"{storage.address} holds {len(names)} files that no level needs ({_some(names)}); "
            "they are left from a broken run and can be removed.",
        )


def _is_blosc(array: zarr.Array[Any]) -> bool:
    """Whether the files of an array of Zarr v2 are buffers of blosc and nothing else."""
    metadata = array.metadata
    if metadata.zarr_format != 2 or metadata.filters:
        return False
    return getattr(metadata.compressor, "codec_id", None) == "blosc"


def _sharding(array: zarr.Array[Any]) -> dict[str, Any]:
    codecs = array.metadata.to_dict().get("codecs")
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
