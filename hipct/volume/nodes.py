"""The nodes of a Zarr group, in a folder or on a server: its attributes, its arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import zarr

from hipct.core.errors import FormatError, InputError, RemoteError
from hipct.volume.storage import Folder, Patience, Storage, open_storage
from hipct.volume.storage_zarr import ReadStore, open_array

_AT_ONCE = 16
"""Files that a server is asked about at a time."""


def storage_of(path: Path | str, patience: Patience | None = None) -> Storage:
    """Where a volume lies.

    Raises
    ------
    InputError
        If it is a folder that does not exist, or the address cannot be one.
    """
    storage = open_storage(path, patience=patience)
    if isinstance(storage, Folder) and not storage.path.exists():
        for begun in (f"{storage.path}.run/volume.ome.zarr", f"{storage.path}.partial"):
            if Path(begun).is_dir():
                raise InputError(
                    f"{storage.path} does not exist yet: it is being written, or its run was "
                    f"broken off; wait for it, or give {begun} to see what is there."
                )
        raise InputError(f"{storage.path} does not exist; give the folder of an OME-Zarr volume.")
    return storage


def attributes_of(storage: Storage) -> dict[str, Any]:
    """Attributes of an OME-Zarr image, from ``zarr.json`` (v3) or ``.zattrs`` (v2).

    Raises
    ------
    FormatError
        If there is none.
    RemoteError
        If the server does not answer.
    """
    address = storage.address
    for name in ("zarr.json", ".zattrs"):
        try:
            data = storage.get(name)
            content = None if data is None else json.loads(data)
        except (RemoteError, ValueError) as error:
            if isinstance(error, RemoteError) and not isinstance(storage, Folder):
                raise
            raise FormatError(f"{address}/{name} cannot be read as JSON ({error}).") from error
        if data is None:
            continue
        attributes = content
        if name == "zarr.json" and isinstance(content, dict):
            attributes = content.get("attributes")
        ome = attributes.get("ome", attributes) if isinstance(attributes, dict) else None
        if (
            not isinstance(attributes, dict)
            or not isinstance(ome, dict)
            or not isinstance(ome.get("multiscales"), list)
        ):
            noted = attributes.get("hipct") if isinstance(attributes, dict) else None
            if isinstance(noted, dict) and str(noted.get("format", "")).startswith("hipct-s"):
                raise FormatError(
                    f"{address} holds raw scans and no volume; hipct reconstruct makes one of "
                    "them, and hipct view --live shows them as one."
                )
            raise FormatError(
                f"{address} is a Zarr node but no OME-Zarr image: its attributes have no list "
                "'multiscales'; hipct pyramid makes a volume of other arrays."
            )
        return dict(attributes)
    raise FormatError(
        f"{address} is no OME-Zarr volume: it holds neither zarr.json nor .zattrs; give the "
        f"{'folder' if isinstance(storage, Folder) else 'address'} of what hipct reconstruct wrote."
    )


def is_own(attributes: Mapping[str, Any]) -> bool:
    """Whether hipct wrote a volume: then every file is stored, those of zeros too.

    Somebody else's volume is not ours because a place was noted in it.
    """
    noted = attributes.get("hipct")
    return isinstance(noted, dict) and set(noted) != {"placed_in"}


class OwnFiles:
    """The files of an array of hipct's: Zarr gives zeros for one that is missing.

    Parameters
    ----------
    storage : Storage
        Where the volume lies.
    name : str
        The array in it.
    array : zarr.Array
    """

    def __init__(self, storage: Storage, name: str, array: zarr.Array[Any]) -> None:
        self._storage, self._name, self._array = storage, name, array
        self._seen: set[str] = set()

    def require(self, region: tuple[slice, ...]) -> None:
        """Ask for the files of a region, each once.

        Raises
        ------
        FormatError
            If one is missing.
        RemoteError
            If the server does not answer.
        """
        array = self._array
        sizes = array.shards or array.chunks
        bounds = [part.indices(n)[:2] for part, n in zip(region, array.shape)]
        places = (range(low // n, -(-high // n)) for (low, high), n in zip(bounds, sizes))
        names = (f"{self._name}/{array.metadata.encode_chunk_key(p)}" for p in product(*places))
        keys = [key for key in names if key not in self._seen]
        if not keys:
            return
        with ThreadPoolExecutor(min(_AT_ONCE, len(keys))) as pool:
            found = list(pool.map(self._storage.info, keys))
        for key, info in zip(keys, found):
            if info is None:
                raise FormatError(
                    f"{self._storage.address}/{key} is missing: the volume is not whole; hipct "
                    "check names every fault."
                )
        self._seen.update(keys)


def array_of(storage: Storage, name: str) -> zarr.Array[Any]:
    """An array, read-only.

    Raises
    ------
    FormatError
        If it is missing or no Zarr array.
    RemoteError
        If the server does not answer.
    """
    try:
        if isinstance(storage, Folder):
            return zarr.open_array(storage.path / name, mode="r")
        return open_array(ReadStore(storage), name)
    except RemoteError:
        raise
    except Exception as error:  # Zarr has no common class for what broken metadata raises.
        raise FormatError(
            f"Level {name!r} of {storage.address} cannot be opened ({type(error).__name__}: "
            f"{error})."
        ) from error


def arrays_of(storage: Storage, names: list[str]) -> list[zarr.Array[Any]]:
    """Arrays of the levels; from a server all at once, not one after the other."""
    if isinstance(storage, Folder) or not names:
        return [array_of(storage, name) for name in names]
    with ThreadPoolExecutor(len(names)) as pool:
        return list(pool.map(lambda name: array_of(storage, name), names))
