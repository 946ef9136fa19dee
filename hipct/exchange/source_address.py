"""The finest level of an OME-Zarr volume on a server as a source."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import FormatError, InputError, RemoteError
from hipct.exchange.source_files import AxesSource
from hipct.exchange.source_options import SourceOptions
from hipct.exchange.source_zarr import ZarrSource
from hipct.volume.nodes import OwnFiles, attributes_of, is_own, storage_of
from hipct.volume.storage import open_storage
from hipct.volume.storage_zarr import chunkwise


class AddressSource(ZarrSource):
    """The finest level of an OME-Zarr volume at ``s3://``, ``gs://`` or ``http(s)://``.

    Parameters
    ----------
    address : str
        Of the volume.
    options : SourceOptions
        None of them: a volume says all of it.

    Raises
    ------
    InputError
        If an option is given.
    FormatError
        If there is no OME-Zarr volume.
    RemoteError
        If the server does not answer.
    """

    def __init__(self, address: str, options: SourceOptions) -> None:
        AxesSource.__init__(self, Path(address), options)
        self.name = address
        if options.dataset is not None:
            raise InputError(
                f"{address} is read as an OME-Zarr volume; leave --dataset {options.dataset} out."
            )
        array = self._open_volume()
        self._level = self._folder.relative_to(self.path).as_posix()
        storage = storage_of(address)
        self._files = (
            OwnFiles(storage, self._level, array) if is_own(attributes_of(storage)) else None
        )
        # Bands of rows take parts of shards.
        self._array = chunkwise(array)
        self.dtype = np.dtype(self._array.dtype).newbyteorder("=")
        if self.dtype.kind not in "uifb":
            raise FormatError(f"{address} holds {self.dtype}; a volume has numbers.")

    def words(self) -> tuple[Any, ...]:
        """What it was opened with."""
        return (self.name, self.options)

    def fingerprint(self) -> str:
        """Names, sizes and tags of the objects; of the metadata alone where none can be listed."""
        storage = open_storage(self.name)
        try:
            objects = sorted(storage.list(self._level), key=lambda one: one.key)
        except RemoteError:
            keys = ("zarr.json", ".zattrs", f"{self._level}/zarr.json", f"{self._level}/.zarray")
            objects = [one for key in keys if (one := storage.info(key)) is not None]
        digest = hashlib.sha256()
        for one in objects:
            digest.update(f"{one.key}\0{one.size}\0{one.etag}\n".encode())
        return digest.hexdigest()[:16]

    def _read_stored(self, region: tuple[slice, slice, slice]) -> NDArray[Any]:
        if self._files is not None:
            self._files.require(region)
        try:
            return np.asarray(self._array[region])
        except (RemoteError, FormatError, MemoryError):
            raise
        except Exception as error:  # Codecs have no common class of errors.
            raise FormatError(
                f"{self.name} cannot be read ({type(error).__name__}: {error})."
            ) from error
