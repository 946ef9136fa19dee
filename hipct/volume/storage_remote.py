"""Objects of S3, Google Cloud Storage and plain HTTP servers, through obstore.

What is taken from the environment:

=========================================  ========================================================
``AWS_ACCESS_KEY_ID``,                     the account; without one (nor a role of a container or
``AWS_SECRET_ACCESS_KEY``,                 web identity) requests are anonymous, as public buckets
``AWS_SESSION_TOKEN``                      want them
``AWS_REGION``, ``AWS_DEFAULT_REGION``     where the bucket lies, ``us-east-1`` if nothing is said
``AWS_ENDPOINT_URL``                       another server that speaks S3
``AWS_SKIP_SIGNATURE=false``               ask the machine that it runs on for an account (EC2)
``GOOGLE_APPLICATION_CREDENTIALS``,        the account; without one, requests are anonymous
``GOOGLE_SERVICE_ACCOUNT``,
``GOOGLE_BEARER_TOKEN``
``GOOGLE_BASE_URL``                        another server that speaks Google's protocol
=========================================  ========================================================

Why obstore and not fsspec: for many small parts of a bucket it takes a quarter of the time of s3fs
and of its processor time, and over plain HTTP the same as fsspec; it is one package for all
servers, with retries, where s3fs holds botocore to one release (``python -m benchmarks.remote``).
"""

from __future__ import annotations

import os
import re
import time
import urllib.parse
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

from hipct.core.errors import RemoteError
from hipct.core.extras import require
from hipct.volume.storage import Patience, StoredObject

_ACCOUNTS = {
    "s3": (
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_SKIP_SIGNATURE",
    ),
    "gs": (
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_SERVICE_ACCOUNT",
        "GOOGLE_SERVICE_ACCOUNT_PATH",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "GOOGLE_BEARER_TOKEN",
        "GOOGLE_SKIP_SIGNATURE",
    ),
}
_REMEDIES = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or unset them for a public bucket",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS, or unset it for a public bucket",
}
_SLOWEST = timedelta(minutes=30)
"""For one object, however its bytes trickle in."""
_SYSTEM = re.compile(r'(?:message|error): "([^"]+)"')
_BEYOND = re.compile(r"status code: 416")
_STATUS = re.compile(r"status code: (\d{3}[^:<\n]*)")

Result = TypeVar("Result")


class Remote:
    """Objects below an address on a server.

    Parameters
    ----------
    address : str
        ``s3://BUCKET/...``, ``gs://BUCKET/...``, ``http://...`` or ``https://...``.
    patience : Patience
        Requests that fail with 408, 429 or 5xx, and connections that break or fall silent, are
        made again so often.

    Raises
    ------
    MissingExtra
        If obstore is not installed.
    """

    def __init__(self, address: str, patience: Patience) -> None:
        self._obstore = require("obstore", "remote", f"The address {address}")
        self.address = address.rstrip("/")
        self.patience = patience
        self._scheme = address.partition("://")[0]
        self._store = _open(self.address, patience)

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens its own connections."""
        return Remote, (self.address, self.patience)

    def get(self, key: str) -> bytes | None:
        """An object whole, or None where there is none."""
        return self._get(key, {})

    def get_part(self, key: str, start: int, stop: int | None = None) -> bytes | None:
        """Bytes of an object, or None where there is none."""
        if stop is not None and stop <= start:
            return b""
        if start < 0:
            return self._get(key, {"range": {"suffix": -start}})
        return self._get(key, {"range": {"offset": start} if stop is None else (start, stop)})

    def info(self, key: str) -> StoredObject | None:
        """Size and tag of an object, or None where there is none."""
        try:
            found = self._asked(key, "read", lambda: self._obstore.head(self._store, key))
        except FileNotFoundError:
            return None
        return StoredObject(key, int(found["size"]), found.get("e_tag"))

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """All objects below a prefix; plain HTTP servers cannot tell."""
        if self._scheme.startswith("http"):
            raise RemoteError(
                f"{self.address} cannot be listed: a web server tells no names of objects; give an "
                "s3:// or gs:// address."
            )
        pages = iter(self._obstore.list(self._store, prefix or None))
        while (page := self._asked(prefix, "listed", lambda: next(pages, None))) is not None:
            for found in page:
                yield StoredObject(found["path"], int(found["size"]), found.get("e_tag"))

    def put(self, key: str, data: bytes) -> None:
        """Write an object; the server takes it whole or not at all."""
        self._asked(
            key, "written", lambda: self._obstore.put(self._store, key, data, use_multipart=False)
        )

    def delete(self, key: str) -> None:
        """Remove an object."""
        try:
            self._asked(key, "removed", lambda: self._obstore.delete(self._store, key))
        except FileNotFoundError:
            return

    def _get(self, key: str, options: dict[str, Any]) -> bytes | None:
        try:
            return self._asked(
                key,
                "read",
                lambda: bytes(self._obstore.get(self._store, key, options=options).bytes()),
            )
        except FileNotFoundError:
            return None
        except RemoteError as error:
            if _BEYOND.search(str(error.__cause__)):  # All of the part lies behind the end.
                return b""
            raise

    def _asked(self, key: str, what: str, request: Callable[[], Result]) -> Result:
        """The answer to a request.

        obstore repeats requests that fail; a body that breaks off it repeats where the server
        sends the rest alone, and here where it does not.
        """
        errors = self._obstore.exceptions
        url = f"{self.address}/{key}"
        failures = 0
        while True:
            try:
                return request()
            except FileNotFoundError as error:
                if what == "read" and "NoSuchBucket" not in str(error):
                    raise
                raise self._failed(url, what, error, 1) from error
            except errors.BaseError as error:
                failures += 1
                if (
                    not _is_broken_body(error, errors)
                    or what != "read"
                    or failures == self.patience.attempts
                ):
                    raise self._failed(url, what, error, failures) from error
                time.sleep(self.patience.pause_after(failures))

    def _failed(self, url: str, what: str, error: Exception, failures: int) -> RemoteError:
        """The sentence for an error of obstore, which are paragraphs."""
        text = str(error)
        retried = re.search(r"after (\d+) retries", text)
        times = failures + (int(retried[1]) if retried else 0)
        often = f", {times} times; try again later" if times > 1 else ""
        status = _STATUS.search(text)
        system = _SYSTEM.search(text.partition("Debug source")[2])
        if "NoSuchBucket" in text:
            bucket = urllib.parse.urlsplit(self.address).netloc
            why = f"the bucket {bucket!r} does not exist"
        elif status and status[1][:3] in ("401", "403"):
            remedy = _REMEDIES.get(self._scheme)
            why = f"the server refuses ({status[1].strip()})" + (f"; {remedy}" if remedy else "")
        elif "without LOCATION" in text:
            why = "the bucket lies in another region; set AWS_REGION"
        elif status:
            why = f"the server answers {status[1].strip()}{often}"
        elif "Timeout" in text or "TimedOut" in text:
            why = f"nothing came for {self.patience.timeout_s:g} s{often}"
        elif isinstance(error, self._obstore.exceptions.NotSupportedError):
            why = "the server sends whole objects only, which is no way to read shards"
        elif "IncompleteMessage" in text or _is_broken_body(error, self._obstore.exceptions):
            why = f"the connection breaks before all bytes have come{often}"
        elif system:
            why = f"{system[1]}{often}"
        else:
            why = f"{text.splitlines()[0].rpartition(' - ')[2][:200].rstrip('.')}{often}"
        return RemoteError(f"{url} could not be {what}: {why}.")


def _is_broken_body(error: Exception, errors: Any) -> bool:
    """Whether an answer began well and broke off, and the server did not send the rest."""
    text = str(error)
    return not (
        isinstance(error, errors.NotSupportedError)
        or "Error performing" in text
        or "source: Header" in text
    )


def _open(address: str, patience: Patience) -> Any:
    store = require("obstore.store", "remote", f"The address {address}")
    scheme = address.partition("://")[0]
    parts = urllib.parse.urlsplit(address)
    # obstore draws its pauses between the first and a later one: the range must not be empty.
    pause = timedelta(seconds=max(patience.pause_s, 0.001))
    options: dict[str, Any] = {
        "client_options": {
            "allow_http": True,
            "connect_timeout": timedelta(seconds=patience.timeout_s),
            "read_timeout": timedelta(seconds=patience.timeout_s),
            "timeout": _SLOWEST,
        },
        "retry_config": {
            "max_retries": patience.attempts - 1,
            "retry_timeout": _SLOWEST,
            "backoff": {
                "init_backoff": pause,
                "max_backoff": max(timedelta(minutes=1), 2 * pause),
                "base": 2,
            },
        },
    }
    if scheme.startswith("http"):
        return store.HTTPStore.from_url(address, **options)
    if not any(name in os.environ for name in _ACCOUNTS[scheme]):
        options["skip_signature"] = True
    prefix = parts.path.strip("/") or None
    kind = store.GCSStore if scheme == "gs" else store.S3Store
    try:
        return kind(parts.netloc, prefix=prefix, **options)
    except require("obstore.exceptions", "remote", f"The address {address}").BaseError as error:
        why = str(error).splitlines()[0].partition(": ")[2]
        raise RemoteError(
            f"{address} cannot be opened with the account of the environment ({why}); "
            f"{_REMEDIES[scheme]}."
        ) from error
