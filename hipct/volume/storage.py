"""Objects below an address, in a folder or on a server: read, listed, written, removed.

``s3://``, ``gs://`` and ``http(s)://`` go through obstore (extra ``remote``); ``file://`` and plain
paths are folders. An object is whole or absent: a put replaces it at once, and a get that breaks
off is made again or raises.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hipct.core.errors import InputError, RemoteError
from hipct.core.files import write_atomic

SCHEMES = ("s3", "gs", "http", "https", "file")
_LONGEST_PAUSE_S = 60.0


class ObjectStore(Protocol):
    """Objects below one address that can be fetched by their keys."""

    @property
    def address(self) -> str:
        """Where they lie, as a person would write it."""

    def get(self, key: str) -> bytes | None:
        """An object whole, or None where there is none."""


class Storage(ObjectStore, Protocol):
    """Objects below one address: fetched in parts too, listed, written and removed.

    Keys are relative, parts of them are set apart by ``/``. Every method raises RemoteError where
    the server (or the disk) fails, refuses, or does not answer.
    """

    def get_part(self, key: str, start: int, stop: int | None = None) -> bytes | None:
        """Bytes ``start:stop`` of an object, or None where there is none.

        A negative ``start`` counts from the end, and is to come without ``stop``; what lies behind
        the end is left out.
        """

    def info(self, key: str) -> StoredObject | None:
        """Size and tag of an object, or None where there is none."""

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """All objects below ``prefix`` (parts of keys, without the last ``/``), in no order."""

    def put(self, key: str, data: bytes) -> None:
        """Write an object: it is there whole when the call returns, and never in part."""

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens where there is none."""


@dataclass(frozen=True)
class StoredObject:
    """An object without its bytes.

    Attributes
    ----------
    key : relative to the address of its storage
    size : bytes
    etag : changes when the object does; None where the server tells none
    """

    key: str
    size: int
    etag: str | None


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for.

    Attributes
    ----------
    timeout_s : silence after which a connection is given up
    attempts : how often an object is asked for
    pause_s : pause after the first failure; doubled after each further one
    """

    timeout_s: float = 30.0
    attempts: int = 6
    pause_s: float = 0.5

    def __post_init__(self) -> None:
        if self.timeout_s <= 0 or self.attempts < 1 or self.pause_s < 0:
            raise InputError(
                f"A server cannot be waited for {self.timeout_s} s, {self.attempts} times, "
                f"{self.pause_s} s apart; give more than 0 s, at least once, at least 0 s."
            )

    def pause_after(self, failure: int, asked_for_s: float = 0.0) -> float:
        """Seconds to wait after failure number 1, 2, ...; never less than the server asked for."""
        doubled = self.pause_s * 2.0 ** (failure - 1)
        return min(max(doubled, asked_for_s), _LONGEST_PAUSE_S)


@dataclass(frozen=True)
class Folder:
    """Objects as files of a folder, which need not exist before something is put there."""

    path: Path

    @property
    def address(self) -> str:
        """The folder."""
        return str(self.path)

    def get(self, key: str) -> bytes | None:
        """A file's bytes, or None where there is none."""
        return self.get_part(key, 0)

    def get_part(self, key: str, start: int, stop: int | None = None) -> bytes | None:
        """Bytes of a file, or None where there is none."""
        try:
            with open(self.path / key, "rb") as file:
                if start < 0:
                    start = max(0, file.seek(0, 2) + start)
                file.seek(start)
                return file.read() if stop is None else file.read(max(0, stop - start))
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._failed(key, "read", error) from error

    def info(self, key: str) -> StoredObject | None:
        """Size and time of change of a file, or None where there is none."""
        try:
            if not (self.path / key).is_file():
                return None
            status = (self.path / key).stat()
        except OSError as error:
            raise self._failed(key, "read", error) from error
        return StoredObject(key, status.st_size, f"{status.st_mtime_ns:x}-{status.st_size:x}")

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """All files below a folder of this one."""
        for file in (self.path / prefix).rglob("*"):
            found = self.info(file.relative_to(self.path).as_posix())
            if found is not None:
                yield found

    def put(self, key: str, data: bytes) -> None:
        """Write a file under another name, to the disk, and rename it."""
        path = self.path / key
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._failed(key, "written", error) from error
        write_atomic(path, data)

    def delete(self, key: str) -> None:
        """Remove a file; its folder stays."""
        try:
            (self.path / key).unlink(missing_ok=True)
        except OSError as error:
            raise self._failed(key, "removed", error) from error

    def _failed(self, key: str, what: str, error: OSError) -> RemoteError:
        return RemoteError(f"{self.path / key} cannot be {what}: {error.strerror or error}.")


def is_address(text: object) -> bool:
    """Whether a text is an address (``s3://...``) and no plain path.

    Examples
    --------
    >>> is_address("s3://bucket/organ.ome.zarr"), is_address("organ.ome.zarr")
    (True, False)
    """
    return isinstance(text, str) and "://" in text


def open_storage(address: Path | str, *, patience: Patience | None = None) -> Storage:
    """The objects below an address; nothing is asked of the server yet.

    Parameters
    ----------
    address : path or str
        A folder, ``file:///FOLDER``, ``s3://BUCKET/...``, ``gs://BUCKET/...``, ``http://...`` or
        ``https://...``. Keys, tokens and other servers come from the environment, see
        :mod:`hipct.volume.storage_remote`.
    patience : Patience, optional
        How long a server is waited for.

    Raises
    ------
    InputError
        If the address is of another kind, or has no bucket or server in it.
    MissingExtra
        If it is no folder and obstore is not installed.
    """
    if not is_address(address):
        return Folder(Path(address))
    address = str(address)
    parts = urllib.parse.urlsplit(address)
    if parts.scheme not in SCHEMES:
        raise InputError(
            f"{address!r} cannot be opened; give a folder, or an address that begins with "
            f"{', '.join(f'{scheme}://' for scheme in SCHEMES[:-1])} or {SCHEMES[-1]}://."
        )
    if parts.scheme == "file":
        return Folder(Path(urllib.parse.unquote(parts.path)))
    if not parts.netloc or parts.query or parts.fragment:
        raise InputError(
            f"{address!r} cannot be opened; after {parts.scheme}:// there has to be a "
            f"{'bucket' if parts.scheme in ('s3', 'gs') else 'server'} and a path, without '?' "
            "and '#'."
        )
    from hipct.volume.storage_remote import Remote

    return Remote(address, patience or Patience())
