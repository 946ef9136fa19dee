"""One file a slice: TIFF and PNG, and the pictures of oblique planes."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hipct.core.errors import InputError
from hipct.core.progress import Observer
from hipct.exchange.export_bands import Source, for_each_slice, read_bands, working_bytes
from hipct.exchange.export_output import facts_text, write_slice

Encode = Callable[[NDArray[Any]], bytes]


def slice_name(source: Source, number: int, suffix: str) -> str:
    """``{name}_{index:06}{suffix}``; the index counts the slices of the level, not of the crop."""
    name = re.sub(r"(\.ome)?\.zarr$", "", source.view.volume.name)
    name = re.sub(r"[^\w.-]+", "_", name).strip(".") or "volume"
    return f"{name}_{source.region[0].start + number:06}{suffix}"


def write_stack(
    source: Source,
    folder: Path,
    *,
    suffix: str,
    encode: Callable[[int, NDArray[Any]], bytes],
    prepare: Callable[[NDArray[Any]], None] | None = None,
    copies: float,
    observer: Observer,
) -> None:
    """Write every slice of a source as a file of its own.

    Parameters
    ----------
    source : Source
    folder : path
        A staged folder.
    suffix : str
        Of the files, with its dot.
    encode : callable
        Bytes of a file from the number of a slice and its values; called from several threads.
    prepare : callable, optional
        Called with the middle slice of every band, before the slices of the band are encoded.
    copies : float
        What encoding takes, in bytes of an exported slice.
    observer : Observer
    """
    each = int(copies * source.slice_bytes)

    def task(number: int, plane: NDArray[Any]) -> None:
        write_slice(folder / slice_name(source, number, suffix), encode(number, plane))

    for band in read_bands(source, folder, working_bytes(source, each), observer):
        if prepare is not None:
            prepare(band.slice((band.start + band.stop) // 2))
        for_each_slice(source, band, each, task)


def tiff_encoder(pixel_um: tuple[float, float] | None, facts: dict[str, Any]) -> Encode:
    """Encoder of uncompressed TIFF, with its resolution in the tags.

    The tag ImageDescription is written as ImageJ does, so that Fiji knows the distance of slices
    and shows physical values; its last line, ``hipct=``, holds all facts as JSON.

    Parameters
    ----------
    pixel_um : (float, float) or None
        Pixel size along y and x. The tags hold it as pixels a centimetre, the one metric unit
        that TIFF has.
    facts : dict
        Of :mod:`hipct.exchange.export_facts`.
    """
    import tifffile

    description = _imagej_lines(facts) + f"hipct={facts_text(facts)}\n"
    options = tiff_resolution(pixel_um)

    def encode(plane: NDArray[Any]) -> bytes:
        buffer = io.BytesIO()
        tifffile.imwrite(
            buffer,
            plane,
            photometric="minisblack",
            description=description,
            metadata=None,
            software="hipct",
            **options,
        )
        return buffer.getvalue()

    return encode


def _imagej_lines(facts: dict[str, Any]) -> str:
    """Properties of ImageJ: unit and distance of slices, ``value = c0 + c1 * stored``."""
    lines = ["ImageJ=1.54f"]
    # ImageJ shows small pixels in micrometres, but wants all three lengths in the unit of the tags.
    if "voxel_size_um" in facts or "pixel_size_um" in facts:
        lines.append("unit=cm")
    if "voxel_size_um" in facts:
        lines.append(f"spacing={facts['voxel_size_um'][0] / 1e4:.9g}")
    if "scale" in facts and facts["dtype"] != "float32":
        # Function 0 is the straight line.
        lines += ["cf=0", f"c0={facts['offset']}", f"c1={facts['scale']}", f"vunit={facts['unit']}"]
    return "\n".join(lines) + "\n"


def tiff_resolution(pixel_um: tuple[float, float] | None) -> dict[str, Any]:
    """Keyword arguments of tifffile for a pixel size along y and x."""
    if pixel_um is None:
        return {}
    return {"resolution": (1e4 / pixel_um[1], 1e4 / pixel_um[0]), "resolutionunit": "CENTIMETER"}


def png_encoder(pixel_um: tuple[float, float] | None, dtype: np.dtype[Any]) -> Encode:
    """Encoder of PNG with 8 or 16 bits, with its resolution as whole pixels a metre.

    Raises
    ------
    InputError
        If the grey values are neither uint8 nor uint16.
    """
    if dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"PNG holds uint8 and uint16, not {dtype}; give --dtype uint8, or --format tiff."
        )
    # Pillow takes dots an inch and stores dots a metre.
    options = {} if pixel_um is None else {"dpi": (25400 / pixel_um[1], 25400 / pixel_um[0])}

    def encode(plane: NDArray[Any]) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(plane).save(buffer, format="PNG", **options)
        return buffer.getvalue()

    return encode
