"""Objects of the atlas's bucket by their key, from servers that may be slow or dead.

The atlas is public, so that ``gs://BUCKET/KEY`` is read as
``https://storage.googleapis.com/BUCKET/KEY``: without an account, and with the checksum that Google
tells of every object compared, which obstore (:mod:`hipct.volume.storage`) does not. Folders and
``s3://`` are those of :mod:`hipct.volume.storage`.
"""

from __future__ import annotations

import base64
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

from hipct.core.errors import InputError, RemoteError
from hipct.volume.storage import Folder, ObjectStore, Patience, open_storage

GOOGLE = "https://storage.googleapis.com"
FORMATS = ("n5", "zarr")
_PIECE = 1 << 18
_SLOWEST_BYTES_PER_S = 10_000
_RETRIED = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Server:
    """Objects of an HTTP server.

    An object counts as read when as many bytes have come as were announced and, where the server
    tells one (Google does), its CRC-32C is right. Otherwise it is asked for again.
    """

    url: str
    patience: Patience = field(default_factory=Patience)

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
                        came = sum(map(len, parts))
                        raise _Failure(
                            f"its bytes come too slowly ({came} of {size or 'unknown'} in "
                            f"{longest:.0f} s)"
                        )
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
            "n5:// or zarr://, and go on with gs://, s3://, https://, http:// or file://."
        )
    return kind, rest


def open_store(
    address: str, *, mirror: str | None = None, patience: Patience | None = None
) -> ObjectStore:
    """The objects below an address.

    Parameters
    ----------
    address : str
        ``gs://BUCKET/...``, ``s3://BUCKET/...``, ``https://...``, ``http://...`` or
        ``file:///...``.
    mirror : str, optional
        Address or folder of a copy of the buckets: ``gs://BUCKET/...`` is read from
        ``MIRROR/BUCKET/...``. Default: Google's server.
    patience : Patience, optional

    Raises
    ------
    InputError
        If the address is of another kind, or its folder does not exist.
    MissingExtra
        If it is ``s3://`` and obstore is not installed.
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
    if scheme == "s3":
        return open_storage(address, patience=patience)
    raise InputError(
        f"{address!r} cannot be read; give gs://, s3://, https://, http:// or file://."
    )


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
