"""Objects of a bucket by their key: from a folder, or from a server that may be slow or dead.

The atlas is public, so that ``gs://BUCKET/KEY`` is read as
``https://storage.googleapis.com/BUCKET/KEY``: no account, no client library, and every retry in
our hands.
"""

from __future__ import annotations

import base64
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Protocol

from hipct.core.errors import InputError, RemoteError

GOOGLE = "https://storage.googleapis.com"
FORMATS = ("n5", "zarr")
_PIECE = 1 << 18
_SLOWEST_BYTES_PER_S = 10_000
_RETRIED = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_PAUSE_S = 60.0


class ObjectStore(Protocol):
    """Objects below one address."""

    @property
    def address(self) -> str:
        """Where they lie, as a person would write it."""

    def get(self, key: str) -> bytes | None:
        """An object whole, or None where there is none."""


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
    """Objects as files of a folder."""

    path: Path

    @property
    def address(self) -> str:
        """The folder."""
        return str(self.path)

    def get(self, key: str) -> bytes | None:
        """A file's bytes, or None where there is none."""
        try:
            return (self.path / key).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        except OSError as error:
            raise RemoteError(
                f"{self.path / key} cannot be read: {error.strerror or error}."
            ) from error


@dataclass(frozen=True)
class Server:
    """Objects of an HTTP server.

    An object counts as read when as many bytes have come as were announced and, where the server
    tells one (Google does), its CRC-32C is right. Otherwise it is asked for again.
    """

    url: str
    patience: Patience = Patience()

    @property
    def address(self) -> str:
        """The address that keys are added to."""
        return self.url

    def get(self, key: str) -> bytes | None:
        """An object's bytes, or None where the server says that there is none (404, 410).

        Raises
        ------
        RemoteError
            If the server refuses, or fails as often as one may try.
        """
        url = f"{self.url.rstrip('/')}/{urllib.parse.quote(key)}"
        failures = 0
        while True:
            try:
                return self._once(url)
            except _Failure as failure:
                failures += 1
                if failure.final or failures == self.patience.attempts:
                    times = "" if failures == 1 else f", {failures} times"
                    remedy = "" if failure.final else "; try again later"
                    raise RemoteError(
                        f"{url} could not be read: {failure.why}{times}{remedy}."
                    ) from failure
                time.sleep(self.patience.pause_after(failures, failure.pause_s))

    def _once(self, url: str) -> bytes | None:
        try:
            with urllib.request.urlopen(url, timeout=self.patience.timeout_s) as response:
                expected = response.headers.get("Content-Length")
                size = None if expected is None else int(expected)
                started, parts = time.monotonic(), []
                longest = self.patience.timeout_s + (size or 0) / _SLOWEST_BYTES_PER_S
                while part := response.read1(_PIECE):
                    parts.append(part)
                    if time.monotonic() - started > longest:
                        raise TimeoutError
                data = b"".join(parts)
                headers = dict(response.headers.items())
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in (404, 410):
                return None
            asked = error.headers.get("Retry-After", "")
            raise _Failure(
                f"the server answers {error.code} {error.reason}",
                final=error.code not in _RETRIED,
                pause_s=float(asked) if asked.isdecimal() else 0.0,
            ) from error
        except TimeoutError as error:
            raise _Failure(f"nothing came for {self.patience.timeout_s:g} s") from error
        except urllib.error.URLError as error:
            slow = isinstance(error.reason, TimeoutError)
            why = f"nothing came for {self.patience.timeout_s:g} s" if slow else str(error.reason)
            raise _Failure(why) from error
        except (HTTPException, OSError, ValueError) as error:
            raise _Failure(f"the connection broke ({type(error).__name__}: {error})") from error
        if size is not None and len(data) != size:
            raise _Failure(f"{len(data)} of {size} bytes came")
        if not _is_whole(data, headers):
            raise _Failure("its bytes have another checksum than the server tells")
        return data


class _Failure(Exception):
    """One attempt that failed."""

    def __init__(self, why: str, *, final: bool = False, pause_s: float = 0.0) -> None:
        super().__init__(why)
        self.why, self.final, self.pause_s = why, final, pause_s


def split_format(url: str) -> tuple[str, str]:
    """Format and plain address of ``n5://gs://...`` or ``zarr://gs://...``.

    Raises
    ------
    InputError
        If no known format stands in front.
    """
    kind, _, rest = url.partition("://")
    if kind not in FORMATS or "://" not in rest:
        raise InputError(
            f"The address {url!r} does not say its format; it has to begin with "
            "n5:// or zarr://, and go on with gs://, https://, http:// or file://."
        )
    return kind, rest


def open_store(
    address: str, *, mirror: str | None = None, patience: Patience | None = None
) -> ObjectStore:
    """The objects below an address.

    Parameters
    ----------
    address : str
        ``gs://BUCKET/...``, ``https://...``, ``http://...`` or ``file:///...``.
    mirror : str, optional
        Address or folder of a copy of the buckets: ``gs://BUCKET/...`` is read from
        ``MIRROR/BUCKET/...``. Default: Google's server.
    patience : Patience, optional

    Raises
    ------
    InputError
        If the address is of another kind, or its folder does not exist.
    """
    scheme, _, rest = address.partition("://")
    if scheme == "gs":
        base = (mirror or GOOGLE).rstrip("/")
        address = f"{base if '://' in base else Path(base).absolute().as_uri()}/{rest}"
        scheme, _, rest = address.partition("://")
    if scheme == "file":
        path = Path(urllib.parse.unquote(urllib.parse.urlsplit(address).path))
        if not path.is_dir():
            raise InputError(f"{path} does not exist; give the folder of a data set.")
        return Folder(path)
    if scheme in ("http", "https"):
        return Server(address, patience or Patience())
    raise InputError(f"{address!r} cannot be read; give gs://, https://, http:// or file://.")


def _is_whole(data: bytes, headers: Mapping[str, str]) -> bool:
    """Whether the CRC-32C that a bucket tells (``x-goog-hash: crc32c=...``) is that of the bytes.

    A server that unpacks objects on the way tells the checksum of what it stores: not compared.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    if lower.get("x-goog-stored-content-encoding", "identity") != "identity":
        return True
    told = re.search(r"crc32c=([A-Za-z0-9+/=]+)", lower.get("x-goog-hash", ""))
    if told is None:
        return True
    import google_crc32c

    crc: bytes = google_crc32c.Checksum(data).digest()
    return base64.b64encode(crc).decode() == told[1]
