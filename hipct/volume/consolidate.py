"""Consolidated metadata: those of all levels in one file of the group.

Over HTTP a volume of L levels is then opened by one request instead of L + 1. It is not written
unasked: neither OME-Zarr nor Zarr v3 know it (it is a convention of zarr-python, in 0.5 the member
``consolidated_metadata`` of the group's ``zarr.json``, in 0.4 the file ``.zmetadata``), and
zarr-python takes the group's word for what there is: labels that another program adds later do
not exist for it, and ``ome_zarr.writer.write_labels`` fails. :func:`consolidate` brings it up to
date.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hipct.core.errors import FormatError
from hipct.core.files import write_json

MEMBER = "consolidated_metadata"
FILE_V2 = ".zmetadata"


def consolidate(path: Path | str) -> None:
    """Gather the metadata of all nodes below a group on disk in the group's own, anew.

    Parameters
    ----------
    path : path
        A Zarr group of version 2 or 3.

    Raises
    ------
    FormatError
        If a metadata file cannot be read.
    OutputError
        If the group cannot be written.
    """
    path = Path(path)
    nodes = gather(path)
    if (path / "zarr.json").is_file():
        group = read_json(path / "zarr.json")
        write_json(path / "zarr.json", group | inline(nodes))
    else:
        write_json(path / FILE_V2, file_v2(nodes))


def is_consolidated(path: Path) -> bool:
    """Whether a group on disk holds the metadata of its nodes."""
    group = path / "zarr.json"
    return MEMBER in read_json(group) if group.is_file() else (path / FILE_V2).is_file()


def gather(path: Path) -> dict[str, dict[str, Any]]:
    """Every metadata file of a group and of what lies below it, by its key.

    For version 3 that of the group itself, which will hold them, is left out.
    """
    if (path / "zarr.json").is_file():
        found = {file: read_json(file) for file in _nodes(path, ("zarr.json",), "zarr.json")}
        del found[path / "zarr.json"]
    else:
        names = (".zgroup", ".zarray", ".zattrs")
        found = {file: read_json(file) for file in _nodes(path, names, ".zarray")}
    return {file.relative_to(path).as_posix(): content for file, content in found.items()}


def inline(files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The member of a group's ``zarr.json``, from the files below it."""
    nodes = {key.removesuffix("/zarr.json"): content for key, content in files.items()}
    return {MEMBER: {"kind": "inline", "must_understand": False, "metadata": nodes}}


def file_v2(files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Content of ``.zmetadata``, from the group's files and those below it."""
    return {"zarr_consolidated_format": 1, "metadata": files}


def read_json(file: Path) -> dict[str, Any]:
    """An object of a JSON file.

    Raises
    ------
    FormatError
        If it cannot be read, or holds something else.
    """
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise FormatError(f"{file} cannot be read as JSON ({error}).") from error
    if not isinstance(content, dict):
        raise FormatError(f"{file} holds no JSON object.")
    return content


def _nodes(folder: Path, names: tuple[str, ...], array: str) -> Iterator[Path]:
    """Metadata files from a folder downwards, but not among the chunks of an array."""
    files = [folder / name for name in names if (folder / name).is_file()]
    if not files:
        return
    yield from files
    if folder / array in files and read_json(folder / array).get("node_type", "array") == "array":
        return
    for child in sorted(folder.iterdir()):
        if child.is_dir():
            yield from _nodes(child, names, array)
