"""What may be asked of an export, and what goes with what."""

from __future__ import annotations

from dataclasses import dataclass

from hipct.core.errors import InputError
from hipct.volume.layout import OmeZarr

FORMATS = (
    "tiff",
    "bigtiff",
    "jp2",
    "htj2k",
    "nifti",
    "hdf5",
    "png",
    "ome-zarr",
    "neuroglancer",
)
FOLDERS = ("tiff", "png", "jp2", "htj2k")
"""Formats of one file a slice."""
COMPRESSED = ("jp2", "htj2k")


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How a volume is exported; :func:`hipct.exchange.export.export_volume` explains each.

    Raises
    ------
    InputError
        If the format is unknown, or an option means nothing for it.
    """

    format: str
    level: int | str | None = None
    crop: str | None = None
    oblique: str | None = None
    dtype: str | None = None
    window: tuple[float, float] | None = None
    lossless: bool = False
    ratio: float | None = None
    url: str | None = None
    ome_zarr: OmeZarr | None = None
    consolidated: bool = False
    restart: bool = False

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise InputError(f"The format is {self.format!r}; allowed are {', '.join(FORMATS)}.")
        by_link = self.format == "neuroglancer"
        meaningless = {
            "--lossless": self.lossless and self.format not in COMPRESSED,
            "--ratio": self.ratio is not None and self.format not in COMPRESSED,
            "--oblique": self.oblique is not None and self.format not in ("tiff", "png"),
            "--ome-zarr": self.ome_zarr is not None and self.format != "ome-zarr",
            "--consolidated": self.consolidated and self.format != "ome-zarr",
            "--restart": self.restart and self.format != "ome-zarr",
            "--url": self.url is not None and not by_link,
            "--level": self.level is not None and by_link,
            "--crop": self.crop is not None and by_link,
            "--dtype": self.dtype is not None and by_link,
        }
        for option, is_meaningless in meaningless.items():
            if is_meaningless:
                raise InputError(
                    f"{option} means nothing for the format {self.format}; leave it out."
                )
        if self.oblique is not None and self.crop is not None:
            raise InputError("Give --oblique or --crop: an oblique plane has a size of its own.")
        if self.lossless and self.ratio is not None:
            raise InputError("Give --lossless or --ratio, not both.")
        if by_link and self.url is None:
            raise InputError(
                "Neuroglancer reads the volume itself; give --url, where its folder is served."
            )

    def refuse_changes(self, address: str) -> None:
        """To a server go the files of a volume as they are.

        Raises
        ------
        InputError
            If another format, or something else than the whole volume, is to go there.
        """
        if self.format != "ome-zarr":
            raise InputError(
                f"{address} is on a server, to which --format ome-zarr alone is written; give a "
                "file or folder for the others."
            )
        changes = {
            "--level": self.level,
            "--crop": self.crop,
            "--dtype": self.dtype,
            "--window": self.window,
            "--ome-zarr": self.ome_zarr,
            "--consolidated": self.consolidated or None,
            "--restart": self.restart or None,
        }
        for option, value in changes.items():
            if value is not None:
                raise InputError(
                    f"To a server a volume goes as it is, and {option} asks for another one; "
                    f"export to a folder first, and that folder to {address}."
                )
