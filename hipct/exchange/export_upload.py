"""A whole volume to a server: its files one by one, as they are.

What makes it a volume comes last, so that nobody opens half of one. Until then a note lies there,
by which the next attempt knows what it goes on with::

    hipct-upload.json   what is being uploaded; removed at the end
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from hipct.core.errors import FormatError, OutputError
from hipct.core.progress import Observer
from hipct.core.threads import thread_count
from hipct.volume.open import Volume
from hipct.volume.storage import Storage, StoredObject, open_storage

NOTE = "hipct-upload.json"
_ROOTS = ("zarr.json", ".zattrs")
"""The file that makes a folder an OME-Zarr volume, of version 0.5 and 0.4."""
_MOST_AT_ONCE = 8


def upload_volume(
    volume: Volume, address: str, *, overwrite: bool, memory_bytes: int, observer: Observer
) -> int:
    """Write the files of a volume to a server; an upload that broke off goes on.

    Parameters
    ----------
    volume : Volume
        In a folder, or on a server that lists its objects.
    address : str
        ``s3://BUCKET/organ.ome.zarr`` or ``gs://...``.
    overwrite : bool
        Whether a volume that lies there is replaced; it is removed before the new one comes.
    memory_bytes : int
        What the files that are under way may take.
    observer : Observer
        Told of every file.

    Returns
    -------
    bytes : int
        Size of the volume.

    Raises
    ------
    OutputError
        If something else lies there, or a volume, and ``overwrite`` is false.
    FormatError
        If the volume changes meanwhile.
    RemoteError
        If the server does not answer, or refuses.
    """
    source, target = open_storage(volume.address), open_storage(address)
    if target.address.rstrip("/") == source.address.rstrip("/"):
        raise OutputError(f"{address} is the volume itself; choose another address.")
    files = sorted(source.list(), key=lambda each: (_rank(each.key), each.key))
    files = [each for each in files if each.key != NOTE]
    there = {each.key: each.size for each in target.list()}
    print_of_it = _fingerprint(files)
    goes_on = _state(target, there) == {"of": print_of_it}
    if not goes_on:
        _clear(target, there, overwrite=overwrite)
        there = {}
        target.put(NOTE, _note(print_of_it))
    at_once = _at_once(files, memory_bytes)
    observer.start("export", len(files))
    left = []
    for file in files:
        # Metadata are small, and of one size more often than of one content.
        if goes_on and _rank(file.key) == 0 and there.get(file.key) == file.size:
            observer.advance("export")
        else:
            left.append(file)
    for rank in (0, 1, 2):
        _copy([each for each in left if _rank(each.key) == rank], source, target, at_once, observer)
    for key in there.keys() - {each.key for each in files} - {NOTE}:
        target.delete(key)
    target.delete(NOTE)
    observer.finish("export")
    return sum(each.size for each in files)


def _rank(key: str) -> int:
    """0 voxels, 1 metadata, 2 the file that makes it a volume."""
    if key in _ROOTS:
        return 2
    name = key.rpartition("/")[2]
    return 1 if name.endswith(".json") or name.startswith(".z") else 0


def _copy(
    files: list[StoredObject], source: Storage, target: Storage, at_once: int, observer: Observer
) -> None:
    """Several files at a time; after an error those under way are waited for, no other begins."""
    stopped = False

    def one(file: StoredObject) -> None:
        if stopped:
            return
        data = source.get(file.key)
        if data is None or len(data) != file.size:
            raise FormatError(
                f"{file.key} of {source.address} has changed while it was copied; wait until the "
                "volume is whole, and give the same command again."
            )
        target.put(file.key, data)
        observer.advance("export")

    with ThreadPoolExecutor(at_once, thread_name_prefix="hipct-upload") as pool:
        futures: list[Future[None]] = [pool.submit(one, file) for file in files]
        try:
            for future in futures:
                future.result()
        except BaseException:
            stopped = True
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _at_once(files: list[StoredObject], memory_bytes: int) -> int:
    """How many files may be under way: each is in memory as it is read and as it is sent."""
    largest = max((each.size for each in files), default=1)
    most = max(_MOST_AT_ONCE, 2 * thread_count())
    return max(1, min(most, memory_bytes // max(1, 2 * largest)))


def _clear(target: Storage, there: dict[str, int], *, overwrite: bool) -> None:
    """Make room, if that is allowed: what makes it a volume goes first."""
    if not there:
        return
    if not (NOTE in there or any(root in there for root in _ROOTS)):
        raise OutputError(
            f"{target.address} holds objects and is no OME-Zarr volume, so that nothing is written "
            "there; choose another address, or remove them yourself."
        )
    state = _state(target, there)
    if not overwrite and state != {"clearing": True}:
        what = "an unfinished upload of another volume" if NOTE in there else "a volume"
        raise OutputError(
            f"{target.address} holds {what}; give --overwrite to replace it, or choose another "
            "address."
        )
    target.put(NOTE, json.dumps({"clearing": True}).encode())
    for key in sorted(there.keys() - {NOTE}, key=_rank, reverse=True):
        target.delete(key)


def _state(target: Storage, there: dict[str, int]) -> Any:
    """What the note says; None where there is none that can be read."""
    data = target.get(NOTE) if NOTE in there else None
    try:
        return None if data is None else json.loads(data)
    except ValueError:
        return None


def _note(print_of_it: str) -> bytes:
    return json.dumps({"of": print_of_it}).encode()


def _fingerprint(files: list[StoredObject]) -> str:
    """Changes when a file of the volume does."""
    listed = [[each.key, each.size, each.etag] for each in files]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()
