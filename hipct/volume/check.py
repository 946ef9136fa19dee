"""Whether a volume on disk is whole, valid, and true to itself.

``ome-zarr-models`` checks the metadata by its specification. It accepts zero scales, unknown
units, levels of different types and missing half-voxel translations, and never looks at a file:
the rules here do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hipct.core.errors import FormatError
from hipct.volume.check_consolidated import consolidated_findings
from hipct.volume.check_files import file_findings
from hipct.volume.check_metadata import metadata_findings
from hipct.volume.check_voxels import voxel_findings
from hipct.volume.finding import Finding
from hipct.volume.nodes import attributes_of, is_own, storage_of
from hipct.volume.open import Volume, open_volume
from hipct.volume.storage import Folder, Patience, Storage
from hipct.volume.storage_zarr import ReadStore

__all__ = ["Finding", "check_volume"]


def check_volume(
    path: Path | str, *, deep: bool = False, patience: Patience | None = None
) -> list[Finding]:
    """Check an OME-Zarr volume by the specification and by our own rules.

    Parameters
    ----------
    path : path or str
        An OME-Zarr volume, in a folder or on a server (:func:`hipct.volume.open.open_volume`).
    deep : bool
        Whether to read every byte and check every checksum; chunks of OME-Zarr 0.4 have none: they
        are decoded, and if hipct wrote them all levels are compared. Otherwise all metadata, the
        presence and the index of every shard (0.4: the head of every chunk), and a sample of voxels
        of every level are checked.
    patience : Patience, optional
        How long a server is waited for.

    Returns
    -------
    list of Finding
        What is wrong, worst first; empty for a good volume.

    Raises
    ------
    InputError
        If the path does not exist.
    FormatError
        If it is no OME-Zarr image at all.
    RemoteError
        If a server does not answer, or refuses.
    """
    storage = storage_of(path, patience)
    attributes = attributes_of(storage)
    findings = [*_specification(storage), *metadata_findings(storage, attributes)]
    volume = _opened(path, patience, findings)
    if volume is not None:
        findings += consolidated_findings(storage, [level.path for level in volume.levels])
        own = is_own(attributes)
        files = list(file_findings(storage, volume, own=own, deep=deep))
        findings += files
        if not any(f.severity == "error" for f in files):
            # Without checksums a flipped bit is seen, if at all, where two levels do not fit.
            whole = deep and own and volume.levels[0].array.metadata.zarr_format == 2
            findings += voxel_findings(volume, own=own, whole=whole)
    return sorted(findings, key=lambda f: f.severity != "error")


def _specification(storage: Storage) -> Iterator[Finding]:
    import ome_zarr_models

    try:
        ome_zarr_models.open_ome_zarr(
            storage.path if isinstance(storage, Folder) else ReadStore(storage)
        )
    except Exception as error:  # Whatever it raises is its verdict.
        yield Finding(
            "specification",
            "error",
            f"ome-zarr-models refuses {storage.address}: {_brief(error)}.",
        )


def _opened(path: Path | str, patience: Patience | None, findings: list[Finding]) -> Volume | None:
    try:
        return open_volume(path, patience=patience)
    except FormatError as error:
        if not any(f.severity == "error" for f in findings):
            findings.append(Finding("specification", "error", str(error)))
        return None


def _brief(error: Exception) -> str:
    """The first faults of an error that may fill pages."""
    details = getattr(error, "errors", None)
    if callable(details):
        places = [
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in details()
        ]
        return "; ".join(places[:3])
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
