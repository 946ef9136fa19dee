"""From a volume to the files that others ask for.

Nothing is read before it is written: bands of chunks pass through
(:mod:`hipct.exchange.export_bands`), and the output has its name only once it is whole
(:mod:`hipct.exchange.export_output`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hipct.core.errors import InputError
from hipct.core.files import write_json
from hipct.core.progress import Observer, Silent
from hipct.exchange.export_bands import Source
from hipct.exchange.export_facts import plane_facts, source_facts
from hipct.exchange.export_files import nifti_is_packed, write_bigtiff, write_nifti
from hipct.exchange.export_grey import choose_grey
from hipct.exchange.export_hdf5 import write_hdf5
from hipct.exchange.export_jpeg2000 import SUFFIXES, Jpeg2000
from hipct.exchange.export_level import LevelView, choose_level
from hipct.exchange.export_neuroglancer import neuroglancer_link, neuroglancer_state
from hipct.exchange.export_oblique import cut_plane
from hipct.exchange.export_omezarr import write_omezarr
from hipct.exchange.export_options import COMPRESSED, FOLDERS, ExportOptions
from hipct.exchange.export_output import staged, write_facts, write_slice
from hipct.exchange.export_selection import choose_plane, choose_region
from hipct.exchange.export_stacks import Encode, png_encoder, tiff_encoder, write_stack
from hipct.exchange.export_upload import upload_volume
from hipct.volume.layout import OmeZarr
from hipct.volume.open import Volume, open_volume
from hipct.volume.storage import is_address

DEFAULT_MEMORY_BYTES = 2 * 2**30
DEFAULT_RATIO = 10.0
# What encoding a slice takes, in slices: the file in memory twice; planes of int32 in OpenJPEG.
_COPIES = {"tiff": 4.0, "png": 4.0, "jp2": 14.0, "htj2k": 14.0}


@dataclass(frozen=True)
class Exported:
    """What an export has written.

    Attributes
    ----------
    path : the file, folder or address
    shape : exported voxels (z, y, x), or pixels of an oblique plane (rows, columns)
    facts : what the voxels are: sizes, place, meaning of the grey values, compression
    link : address that opens a Neuroglancer state, None for other formats
    """

    path: Path | str
    shape: tuple[int, ...]
    facts: dict[str, Any]
    link: str | None = None


def export_volume(
    volume: Volume | Path | str,
    out: Path | str,
    *,
    format: str,
    level: int | str | None = None,
    crop: str | None = None,
    oblique: str | None = None,
    dtype: str | None = None,
    window: tuple[float, float] | None = None,
    lossless: bool = False,
    ratio: float | None = None,
    url: str | None = None,
    ome_zarr: OmeZarr | None = None,
    consolidated: bool = False,
    restart: bool = False,
    overwrite: bool = False,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    observer: Observer | None = None,
) -> Exported:
    """Write a level of a volume, or a part of it, in a format of others.

    Parameters
    ----------
    volume : Volume, path or address
        An OME-Zarr volume; read band by band, every chunk decoded once.
    out : path or address
        ``tiff``, ``png``, ``jp2``, ``htj2k``: a folder of files ``{name}_{index:06}`` (the index
        of the slice in the level) and ``export.json``, which says what they are. ``ome-zarr``: a
        folder, or ``s3://...``, ``gs://...``, to which the files of the whole volume go as they
        are. Other formats, and oblique planes: a file.
    format : {"tiff", "bigtiff", "jp2", "htj2k", "nifti", "hdf5", "png", "ome-zarr", "neuroglancer"}
        ome-zarr builds a pyramid upon what is exported; neuroglancer writes the state of a viewer,
        and copies no voxel.
    level : int or str, optional
        Number (0, the finest, without it), or a voxel size such as ``"25um"``: the coarsest level
        that is not coarser.
    crop : str, optional
        ``z0:z1,y0:y1,x0:x1`` in voxels of the level, or with ``um`` or ``mm`` after a number; see
        :func:`hipct.exchange.export_selection.choose_region`.
    oblique : str, optional
        ``cz,cy,cx:nz,ny,nx[:size]``, a plane for tiff and png; see
        :func:`hipct.exchange.export_selection.choose_plane`.
    dtype : {"uint8", "uint16", "float32"}, optional
        As stored without it and with uint16; uint8 by the display window; float32: physical values.
        png is uint8 without it. Labels are never changed.
    window : (float, float), optional
        Stored grey values shown black and white, instead of the display window.
    lossless : bool
        jp2 and htj2k without loss.
    ratio : float, optional
        jp2 and htj2k: bytes of a slice over bytes of its file, 10 without it, met within 5 %.
    url : str, optional
        neuroglancer: where the folder of the volume is served; not needed of one on a server.
    ome_zarr : {"0.5", "0.4"}, optional
        Version of OME-Zarr, 0.5 without it.
    consolidated : bool
        ome-zarr: see :class:`hipct.volume.layout.PyramidSpec`.
    restart : bool
        ome-zarr: begin anew where an export broke off that had other options.
    overwrite : bool
        Whether an earlier export may be replaced.
    memory_bytes : int
        What slices and their encoding may take; slices that do not fit wait in a nameless file
        beside the output. The process itself, and what its allocator keeps of threads that have
        ended their work, come on top (about 0.2 GB).
    observer : Observer, optional
        Told of the slices that are written.

    Returns
    -------
    Exported

    Raises
    ------
    InputError
        If an option does not fit, or the level or the crop does not exist.
    FormatError
        If a file of the volume is torn or missing.
    OutputError
        If the output exists already or cannot be written.
    RemoteError
        If a server does not answer, or refuses.
    PlanError
        If the memory is too small.
    MissingExtra
        If the format needs a package that is not installed.
    """
    address = volume.address if isinstance(volume, Volume) else volume
    if format == "neuroglancer" and url is None and is_address(address):
        url = str(address)
    options = ExportOptions(
        format=format,
        level=level,
        crop=crop,
        oblique=oblique,
        dtype=dtype,
        window=window,
        lossless=lossless,
        ratio=ratio,
        url=url,
        ome_zarr=ome_zarr,
        consolidated=consolidated,
        restart=restart,
    )
    told = observer or Silent()
    if is_address(out):
        options.refuse_changes(str(out))
    opened = volume if isinstance(volume, Volume) else open_volume(volume)
    if is_address(out):
        size = upload_volume(
            opened, str(out), overwrite=overwrite, memory_bytes=memory_bytes, observer=told
        )
        return Exported(str(out), opened.shape, {"bytes": size})
    out = Path(out)
    if url is not None:
        state = neuroglancer_state(opened, url, window)
        with staged(out, opened.address, folder=False, overwrite=overwrite) as partial:
            write_json(partial, state)
        return Exported(out, opened.shape, state, neuroglancer_link(state))
    view = choose_level(opened, 0 if level is None else level)
    grey = choose_grey(opened, view.dtype, _dtype(options, opened), window)
    if oblique is not None:
        plane = choose_plane(view, oblique)
        facts = plane_facts(view, plane, grey, format)
        pixel = (plane.pixel, plane.pixel)
        encode = _slice_encoder(view, options, facts, grey.dtype, pixel)
        with staged(out, opened.address, folder=False, overwrite=overwrite) as partial:
            write_slice(partial, encode(cut_plane(view, plane, grey, memory_bytes, told)))
        return Exported(out, plane.shape, facts)
    source = Source(view, choose_region(view, crop), grey, memory_bytes)
    facts = source_facts(source, format)
    if format == "ome-zarr":
        write_omezarr(
            source,
            out,
            facts,
            version=ome_zarr or "0.5",
            consolidated=consolidated,
            restart=restart,
            overwrite=overwrite,
            observer=told,
        )
        return Exported(out, source.shape, facts)
    write = (_stack if format in FOLDERS else _file)(source, out, options, facts)
    folder = format in FOLDERS
    with staged(out, opened.address, folder=folder, overwrite=overwrite) as partial:
        facts |= write(partial, told)
        if folder:
            write_facts(partial, facts)
    return Exported(out, source.shape, facts)


Write = Callable[[Path, Observer], dict[str, Any]]
"""Writes to a staged file or folder; gives what there is to say of it afterwards."""


def _dtype(options: ExportOptions, volume: Volume) -> str | None:
    if options.format == "png" and options.dtype is None and not volume.labels:
        return "uint8"
    return options.dtype


def _slice_encoder(
    view: LevelView, options: ExportOptions, facts: dict[str, Any], dtype: Any, pixel: Any
) -> Encode:
    known = pixel if view.volume.length_unit == "um" else None
    return png_encoder(known, dtype) if options.format == "png" else tiff_encoder(known, facts)


def _stack(source: Source, out: Path, options: ExportOptions, facts: dict[str, Any]) -> Write:  # noqa: ARG001
    """Writer of one file a slice; what it needs is checked before anything is written."""
    kind = options.format
    codec = None
    prepare = None
    encode: Callable[[int, NDArray[Any]], bytes]
    if kind in COMPRESSED:
        if source.view.volume.labels and not options.lossless:
            raise InputError(
                f"{source.view.volume.address} holds labels, whose numbers a lossy {kind} would "
                "change; give --lossless."
            )
        ratio = None if options.lossless else (options.ratio or DEFAULT_RATIO)
        codec = Jpeg2000(kind, source.grey.dtype, ratio)
        encode, prepare, suffix = codec.encode, codec.prepare, SUFFIXES[kind]
    else:
        one = _slice_encoder(source.view, options, facts, source.grey.dtype, source.view.voxel[1:])
        encode, suffix = (lambda _, plane: one(plane)), ".png" if kind == "png" else ".tif"

    def write(folder: Path, observer: Observer) -> dict[str, Any]:
        write_stack(
            source,
            folder,
            suffix=suffix,
            encode=encode,
            prepare=prepare,
            copies=_COPIES[kind],
            observer=observer,
        )
        return {} if codec is None else {"compression": codec.facts()}

    return write


def _file(source: Source, out: Path, options: ExportOptions, facts: dict[str, Any]) -> Write:
    """Writer of one file for all slices."""
    packed = nifti_is_packed(out) if options.format == "nifti" else False

    def write(path: Path, observer: Observer) -> dict[str, Any]:
        if options.format == "bigtiff":
            write_bigtiff(source, path, facts, observer)
        elif options.format == "nifti":
            write_nifti(source, path, observer, packed=packed)
        else:
            write_hdf5(source, path, facts, observer)
        return {}

    return write
