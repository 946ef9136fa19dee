"""The pyramid of a source in one pass: every voxel read once, every shard written once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import hipct
from hipct.core.errors import FormatError, InputError, OutputError
from hipct.core.progress import Observer, Silent
from hipct.core.threads import thread_count
from hipct.volume.layer_stream import stream_layer
from hipct.volume.layout import OmeZarr, Vector3
from hipct.volume.omezarr import update_attributes
from hipct.volume.publish import publish, refuse_other_than_volume
from hipct.volume.pyramid import create_pyramid, set_display_window
from hipct.volume.pyramid_ledger import PyramidLedger, refuse_other
from hipct.volume.pyramid_plan import (
    Kind,
    Projection,
    PyramidPlan,
    plan_pyramid,
    rows_of_chunks,
)
from hipct.volume.pyramid_source import VolumeSource
from hipct.volume.pyramid_tasks import PyramidTasks
from hipct.volume.quantise import ClipCounts, quantise
from hipct.volume.window import Window
from hipct.volume.writer import read_reduced


def build_pyramid(
    source: VolumeSource,
    out: Path | str,
    *,
    kind: Kind = "image",
    projection: Projection | None = None,
    voxel_size_um: float | Vector3 | None = None,
    window: Window | tuple[float, float] | None = None,
    unit: str = "1/cm",
    chunk: int = 128,
    version: OmeZarr = "0.5",
    consolidated: bool = False,
    attributes: Mapping[str, Any] | None = None,
    memory_bytes: int | None = None,
    observer: Observer | None = None,
    restart: bool = False,
    overwrite: bool = False,
) -> PyramidPlan:
    """Build a multiscale OME-Zarr from any source, within a given memory.

    A build that was killed goes on where it stood when it is called again in the same way (of
    files; an array may have changed, and is begun anew); the volume has its name only when it is
    whole.

    Parameters
    ----------
    source : VolumeSource
        What to read (``hipct.exchange.source.open_volume_source`` opens files).
    out : path
        The new OME-Zarr, by custom ``NAME.ome.zarr``.
    kind, projection, voxel_size_um, window, unit, chunk, version, consolidated, memory_bytes
        As in :func:`hipct.volume.pyramid_plan.plan_pyramid`.
    attributes : mapping, optional
        Provenance beside what is known of the source, stored under the key ``hipct`` of the
        group's attributes.
    observer : Observer, optional
        Told the plan, and of every layer.
    restart : bool
        Whether to throw away an unfinished build with other parameters.
    overwrite : bool
        Whether an existing volume is replaced, once the new one stands.

    Returns
    -------
    PyramidPlan
        How it was built.

    Raises
    ------
    InputError
        If the voxels cannot be stored, a value is not allowed, or the source is damaged.
    PlanError
        If the memory is too small for the thinnest layer.
    OutputError
        If the output exists, another process writes it, or an unfinished build had other
        parameters.
    """
    out, observer = Path(out), observer or Silent()
    refuse_other_than_volume(out, overwrite)
    _refuse_itself(source, out)
    options: dict[str, Any] = {
        "kind": kind,
        "projection": projection,
        "voxel_size_um": voxel_size_um,
        "window": window,
        "unit": unit,
        "chunk": chunk,
        "name": out.name.removesuffix(".zarr").removesuffix(".ome") or "volume",
        "memory_bytes": memory_bytes,
        "version": version,
        "consolidated": consolidated,
    }
    plan = plan_pyramid(source, **options)
    before = source.fingerprint()
    ledger = PyramidLedger(out)
    earlier = ledger.open()
    try:
        goes_on = bool(earlier) and bool(ledger.done()) and not restart
        if goes_on:
            refuse_other(earlier, _parameters(plan, before), ledger)
            # Another memory than before would cut layers otherwise: those on the disk decide.
            depth = int(earlier["layer"])
            if before and depth != plan.spec.layer:
                plan = plan_pyramid(source, **options, depth=depth)
            # Without a fingerprint nothing tells whether the voxels are still the same.
            goes_on = bool(before)
        if goes_on:
            ledger.look_again(plan.spec)
        for note in source.notes:
            observer.say(note)
        observer.say(f"{plan}.")
        if not goes_on:
            ledger.begin(_parameters(plan, before))
            noted = {**_provenance(source), **(attributes or {})}
            create_pyramid(ledger.volume, plan.spec, noted, overwrite=True)
        build = _Build(plan, ledger, observer, source)
        build.run()
        if source.fingerprint() != before:
            raise FormatError(
                f"{source.name} has changed while it was read; wait until it is whole, and run "
                "again with --restart (Python: restart=True)."
            )
        _finish(ledger, plan)
        publish(ledger.volume, out, overwrite=overwrite)
        ledger.remove()
    except BaseException:
        if not ledger.done():
            # Nothing to go on from: what was refused leaves nothing behind.
            ledger.remove()
        raise
    finally:
        ledger.close()
    return plan


def _finish(ledger: PyramidLedger, plan: PyramidPlan) -> None:
    """Attributes that only the voxels tell."""
    set_display_window(ledger.volume, plan.spec)
    if plan.quantised:
        counts = [values["clipping"] for values in ledger.done().values() if "clipping" in values]
        total = {key: sum(count[key] for count in counts) for key in ClipCounts().as_dict()}
        update_attributes(ledger.volume, {"hipct": {"clipping": total}})


def _parameters(plan: PyramidPlan, fingerprint: str) -> dict[str, Any]:
    """What decides the voxels, as JSON holds it."""
    spec = plan.spec
    size, window = spec.voxel_size_um, spec.window
    return {
        "source": fingerprint,
        "kind": plan.kind,
        "reduction": spec.reduction,
        "shape": list(spec.shape),
        "dtype": spec.dtype.name,
        "voxel_size_um": list(size) if isinstance(size, tuple) else size,
        "window": None if window is None else [window.low, window.high],
        "unit": spec.unit,
        "chunk": spec.chunk,
        "origin_um": list(spec.origin_um),
        "ome_zarr": spec.version,
        "consolidated": spec.consolidated,
        "layer": spec.layer,
    }


def _provenance(source: VolumeSource) -> dict[str, Any]:
    return {
        "version": hipct.__version__,
        "source": {"path": source.name, "format": source.format, "notes": list(source.notes)},
    }


def _refuse_itself(source: VolumeSource, out: Path) -> None:
    """An output inside of its source, or the source itself, would be read while it changes."""
    given = Path(source.name)
    if not given.exists():
        return
    here, there = given.resolve(), out.resolve()
    if there == here or there.is_relative_to(here) or here.is_relative_to(there):
        raise OutputError(
            f"{out} and the source {source.name} are one and the same or lie within each other; "
            "choose another name for the output."
        )


@dataclass
class _Build(PyramidTasks):
    """Level 0 from a source."""

    source: VolumeSource

    def make(self, index: int) -> tuple[NDArray[Any] | None, dict[str, Any]]:
        spec = self.plan.spec
        rows = spec.levels[0].rows(index)
        counts = ClipCounts()

        def read(y: slice) -> list[NDArray[Any]]:
            if self.source.whole_planes:
                return [self._whole(rows, counts)]
            return [self._stored(self._read(rows, y), counts)]

        reduced = stream_layer(
            self.ledger.volume,
            spec,
            0,
            index,
            read,
            reduce=len(spec.levels) > 1,
            together=rows_of_chunks(self.source, spec),
        )
        return reduced, {"clipping": counts.as_dict()} if self.plan.quantised else {}

    def again(self, index: int) -> NDArray[Any] | None:
        return read_reduced(self.ledger.volume, self.plan.spec, 0, index)

    def _whole(self, rows: slice, counts: ClipCounts) -> NDArray[Any]:
        """A layer of whole slices, a few at a time."""
        spec = self.plan.spec
        layer = np.empty((rows.stop - rows.start, *spec.shape[1:]), spec.dtype)
        some = 2 * thread_count()
        for z in range(rows.start, rows.stop, some):
            part = slice(z, min(z + some, rows.stop))
            read = self._read(part, slice(0, spec.shape[1]))
            layer[part.start - rows.start : part.stop - rows.start] = self._stored(read, counts)
        return layer

    def _read(self, z: slice, y: slice) -> NDArray[Any]:
        voxels = self.source.read(z, y)
        wanted = (z.stop - z.start, y.stop - y.start, self.source.shape[2])
        if voxels.shape != wanted or voxels.dtype != self.source.dtype:
            raise FormatError(
                f"{self.source.name} gave {voxels.dtype} {voxels.shape} for the slices "
                f"{z.start} to {z.stop - 1}, where {self.source.dtype} {wanted} belongs."
            )
        return voxels

    def _stored(self, voxels: NDArray[Any], counts: ClipCounts) -> NDArray[Any]:
        """Voxels as the pyramid stores them."""
        spec = self.plan.spec
        if self.plan.quantised and spec.window is not None:
            values = voxels if voxels.dtype.kind == "f" else voxels.astype(np.float32)
            if self.source.value is not None and voxels.dtype.kind != "f":
                scale, offset = self.source.value
                values *= np.float32(scale)
                values += np.float32(offset)
            return np.asarray(quantise(values, spec.window, counts=counts))
        if voxels.dtype == spec.dtype:
            return voxels
        if voxels.dtype.kind != "b":
            low, high = int(voxels.min()), int(voxels.max())
            top = int(np.iinfo(spec.dtype).max)
            if low < 0 or high > top:
                raise InputError(
                    f"{self.source.name} holds labels from {low} to {high}; they have to lie in "
                    f"0 .. {top}: give them other numbers."
                )
        return voxels.astype(spec.dtype)
