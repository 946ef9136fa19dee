"""Rules on consolidated metadata: readers take them for what the arrays say of themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from hipct.volume.consolidate import FILE_V2, MEMBER
from hipct.volume.finding import Finding
from hipct.volume.storage import Storage

_REMEDY = "hipct.volume.consolidate.consolidate brings them up to date"
# What says how voxels are read; other writers order and complete the rest as they like.
_KEYS = {
    "zarr.json": (
        "zarr_format",
        "node_type",
        "shape",
        "data_type",
        "chunk_grid",
        "chunk_key_encoding",
        "fill_value",
        "codecs",
        "dimension_names",
        "attributes",
    ),
    ".zarray": (
        "zarr_format",
        "shape",
        "chunks",
        "dtype",
        "compressor",
        "fill_value",
        "order",
        "filters",
        "dimension_separator",
    ),
}


def consolidated_findings(storage: Storage, levels: list[str]) -> Iterator[Finding]:
    """Findings where a group says of its nodes what they do not say themselves.

    Parameters
    ----------
    storage : Storage
        Where the group lies.
    levels : list of str
        Paths of its levels.

    Raises
    ------
    RemoteError
        If a server does not answer.
    """
    group = _json(storage, "zarr.json")
    if group is None:
        said = (_json(storage, FILE_V2) or {}).get("metadata")
        arrays, groups = "{}/.zarray", "labels/.zgroup"
    else:
        nodes = (group.get(MEMBER) or {}).get("metadata")
        said = None if nodes is None else {f"{key}/zarr.json": nodes[key] for key in nodes}
        arrays, groups = "{}/zarr.json", "labels/zarr.json"
    if not isinstance(said, Mapping):
        return
    unsaid = [name for name in levels if arrays.format(name) not in said]
    if unsaid:
        yield Finding(
            "consolidated",
            "error",
            f"The consolidated metadata of {storage.address} lack level {', '.join(unsaid)}: for "
            f"zarr-python it does not exist; {_REMEDY}.",
        )
    if groups not in said and storage.info(groups) is not None:
        yield Finding(
            "consolidated",
            "warning",
            f"The consolidated metadata of {storage.address} lack its labels: for zarr-python "
            f"they do not exist; {_REMEDY}.",
        )
    for key, content in said.items():
        yield from _node(storage, key, content)


def _node(storage: Storage, key: str, said: Any) -> Iterator[Finding]:
    own = _json(storage, key)
    if own is None:
        yield Finding(
            "consolidated",
            "error",
            f"The consolidated metadata of {storage.address} speak of {key}, which is not there; "
            f"{_REMEDY}.",
        )
        return
    name = key.rpartition("/")[2]
    wrong = [
        part
        for part in _KEYS.get(name, own.keys() | said.keys())
        if _canonical(own.get(part)) != _canonical(said.get(part))
    ]
    if wrong:
        yield Finding(
            "consolidated",
            "error",
            f"The consolidated metadata of {storage.address} say of {key} another "
            f"{', '.join(sorted(wrong))} than it says itself; {_REMEDY}.",
        )


def _json(storage: Storage, key: str) -> dict[str, Any] | None:
    data = storage.get(key)
    content = None if data is None else json.loads(data)
    return content if isinstance(content, dict) else None


def _canonical(value: Any) -> str:
    # As text NaN, a fill value of floats, equals itself; what is empty may be left out.
    return json.dumps(None if value in ({}, [], "") else value, sort_keys=True)
