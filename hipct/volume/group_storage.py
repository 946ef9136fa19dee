"""A group on a server: no metadata file is asked for that is known, or known not to be there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hipct.volume.consolidate import FILE_V2, MEMBER
from hipct.volume.storage import Storage, StoredObject

_V2 = (".zgroup", ".zarray", ".zattrs")
_V3 = "zarr.json"


@dataclass
class GroupStorage:
    """A storage of one group that learns from the group's own metadata about those of its nodes.

    Of consolidated metadata it takes the nodes' files; otherwise which version of Zarr they have.
    So a volume of L levels is opened by 1 request (2 in version 0.4), or by L + 1 (2 L + 3).

    Parameters
    ----------
    storage : Storage
        Where the group lies.
    """

    storage: Storage
    _known: dict[str, bytes | None] = field(default_factory=dict, repr=False, compare=False)
    _absent: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def address(self) -> str:
        """Where the group lies."""
        return self.storage.address

    def get(self, key: str) -> bytes | None:
        """An object whole, or None where there is none."""
        if key in self._known:
            return self._known[key]
        if key.rpartition("/")[2] in self._absent:
            return None
        data = self.storage.get(key)
        if key == _V3:
            self._learn(data)
        return data

    def get_part(self, key: str, start: int, stop: int | None = None) -> bytes | None:
        """Bytes of an object, or None where there is none."""
        return self.storage.get_part(key, start, stop)

    def info(self, key: str) -> StoredObject | None:
        """Size and tag of an object, or None where there is none."""
        return self.storage.info(key)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """All objects below ``prefix``."""
        return self.storage.list(prefix)

    def put(self, key: str, data: bytes) -> None:
        """Write an object; what was known may be wrong then."""
        self._known, self._absent = {}, ()
        self.storage.put(key, data)

    def delete(self, key: str) -> None:
        """Remove an object; what was known may be wrong then."""
        self._known, self._absent = {}, ()
        self.storage.delete(key)

    def _learn(self, group: bytes | None) -> None:
        if group is not None:
            nodes = (_object(group).get(MEMBER) or {}).get("metadata") or {}
            self._known = {f"{name}/{_V3}": _bytes(node) for name, node in nodes.items()}
            self._absent = _V2
            return
        files = _object(self.storage.get(FILE_V2)).get("metadata") or {}
        self._known = {key: _bytes(content) for key, content in files.items()}
        for key in files:
            # An array without attributes need not have a file of them.
            if key.endswith("/.zarray"):
                self._known.setdefault(key.removesuffix(".zarray") + ".zattrs", None)
        self._absent = (_V3,)


def _object(data: bytes | None) -> dict[str, Any]:
    try:
        content = {} if data is None else json.loads(data)
    except ValueError:  # Whoever reads this file says so.
        content = {}
    return content if isinstance(content, dict) else {}


def _bytes(content: Any) -> bytes:
    return json.dumps(content).encode()
