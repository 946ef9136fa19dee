"""Whether a volume on disk is whole, valid, and true to itself.

``ome-zarr-models`` checks the metadata by its specification. It accepts zero scales, unknown
units, levels of different types and missing half-voxel translations, and never looks at a file:
the rules here do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hipct.volume.check_files import file_findings
from hipct.volume.check_metadata import metadata_findings
from hipct.volume.check_voxels import voxel_findings
from hipct.volume.finding import Finding
from hipct.volume.open import Volume, open_volume, read_attributes

__all__ = ["Finding", "check_volume"]


def check_volume(path: Path | str, *, deep: bool = False) -> list[Finding]:
    """Check an OME-Zarr volume by the specification and by our own rules.

    Parameters
    ----------
    path : path
        An OME-Zarr volume.
    deep : bool
        Whether to read every byte and check every checksum. Otherwise all metadata, the presence
        and the index of every shard, and a sample of voxels of every level are checked.

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
    """
    path = Path(path)
    attributes = read_attributes(path)
    findings = [*_specification(path), *metadata_findings(path, attributes)]
    volume = _opened(path, findings)
    if volume is not None:
        own = "hipct" in attributes
        files = list(file_findings(volume, own=own, deep=deep))
        findings += files
        if not any(f.severity == "error" for f in files):
            findings += voxel_findings(volume, own=own)
    return sorted(findings, key=lambda f: f.severity != "error")


def _specification(path: Path) -> Iterator[Finding]:
    import ome_zarr_models

    try:
        ome_zarr_models.open_ome_zarr(path)
    except Exception as error:  # Whatever it raises is its verdict.
        yield Finding("specification", "error", f"ome-zarr-models refuses {path}: {_brief(error)}.")


def _opened(path: Path, findings: list[Finding]) -> Volume | None:
    try:
        return open_volume(path)
    except ValueError as error:
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
