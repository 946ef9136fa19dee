"""Rules on the metadata of a volume: units, scales, positions, shapes, types, window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import isclose, isfinite
from typing import Any

import numpy as np
import zarr

from hipct.core.errors import FormatError
from hipct.volume.finding import Finding
from hipct.volume.nodes import array_of
from hipct.volume.open import MICROMETRES, place_of_level
from hipct.volume.storage import Storage


def metadata_findings(storage: Storage, attributes: Mapping[str, Any]) -> list[Finding]:
    """Findings of every rule, from the attributes and the arrays' metadata alone."""
    ome = attributes.get("ome", attributes)
    findings: list[Finding] = []
    multiscales = ome["multiscales"]
    if not multiscales or not isinstance(multiscales[0], dict):
        return [Finding("levels", "error", f"{storage.address} has an empty list of multiscales.")]
    arrays = _arrays(storage, multiscales[0], findings)
    rules: list[Callable[[], Iterator[Finding]]] = [
        lambda: _axes(multiscales[0]),
        lambda: _transformations(multiscales[0]),
        lambda: _positions(multiscales[0], arrays),
        lambda: _shapes(multiscales[0], arrays),
        lambda: _types(arrays),
        lambda: _zarr_format(attributes, arrays),
        lambda: _dimension_names(multiscales[0], arrays),
        lambda: _display(ome, arrays),
        lambda: _meaning(attributes),
        lambda: _incomplete(attributes),
    ]
    for rule in rules:
        try:
            findings += rule()
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
            findings.append(
                Finding(
                    "structure",
                    "error",
                    f"The metadata of {storage.address} is malformed "
                    f"({type(error).__name__}: {error}).",
                )
            )
    return list(dict.fromkeys(findings))


Arrays = dict[str, zarr.Array[Any]]


def _arrays(storage: Storage, multiscale: Mapping[str, Any], findings: list[Finding]) -> Arrays:
    arrays: Arrays = {}
    datasets = multiscale.get("datasets")
    listed = datasets if isinstance(datasets, list) else []
    names = [one.get("path") for one in listed if isinstance(one, dict)]
    if not names:
        findings.append(Finding("levels", "error", f"{storage.address} lists no level."))
    for name in names:
        try:
            arrays[str(name)] = array_of(storage, str(name))
        except FormatError as error:
            findings.append(Finding("levels", "error", str(error)))
    return arrays


def _axes(multiscale: Mapping[str, Any]) -> Iterator[Finding]:
    axes = multiscale["axes"]
    names = [axis["name"] for axis in axes]
    if names != ["z", "y", "x"]:
        yield Finding(
            "axes",
            "warning" if sorted(names) == ["x", "y", "z"] else "error",
            f"The axes are {', '.join(names)}; readers of volumes expect z, y, x.",
        )
    bare = [axis["name"] for axis in axes if "unit" not in axis]
    if len(bare) == len(axes):
        yield Finding("units", "warning", "The axes have no unit: the voxel size is not known.")
        return
    for axis in axes:
        if axis.get("type") == "space" and axis.get("unit") not in MICROMETRES:
            yield Finding(
                "units",
                "error",
                f"Axis {axis['name']} has the unit {axis.get('unit')!r}; "
                f"known are {', '.join(MICROMETRES)}.",
            )


def _transformations(multiscale: Mapping[str, Any]) -> Iterator[Finding]:
    for dataset in multiscale["datasets"]:
        kinds = [step["type"] for step in dataset["coordinateTransformations"]]
        if kinds not in (["scale"], ["scale", "translation"]):
            yield Finding(
                "transformations",
                "error",
                f"Level {dataset['path']} has the transformations {', '.join(kinds) or 'none'}; "
                "it takes one scale and then one translation.",
            )


def _positions(multiscale: Mapping[str, Any], arrays: Arrays) -> Iterator[Finding]:
    first: tuple[list[float], list[float]] | None = None
    for dataset in multiscale["datasets"]:
        name, steps = dataset["path"], dataset["coordinateTransformations"]
        scale, translation = place_of_level(steps, len(multiscale["axes"]))
        if any(not isfinite(s) or s <= 0 for s in scale):
            yield Finding("scale", "error", f"Level {name} has the scale {scale}; give sizes > 0.")
            continue
        if any(not isfinite(t) for t in translation):
            yield Finding("translation", "error", f"Level {name} lies at {translation}.")
            continue
        if first is None:
            first = scale, translation
            continue
        # Centres: a voxel of f finest voxels begins half a finest voxel before the first centre.
        wanted = [t0 + 0.5 * (s - s0) for s, s0, t0 in zip(scale, *first)]
        off = max(abs(t - w) / s0 for t, w, s0 in zip(translation, wanted, first[0]))
        if off > 1e-3:
            yield Finding(
                "translation",
                "error",
                f"Level {name} lies at {_list(translation)}, {off:.2f} voxels of the finest level "
                f"off; the means of its voxels lie at {_list(wanted)}.",
            )
        if name in arrays:
            yield from _extent(name, scale, first[0], arrays[name], next(iter(arrays.values())))


def _extent(
    name: str,
    scale: Sequence[float],
    finest: Sequence[float],
    array: zarr.Array[Any],
    base: zarr.Array[Any],
) -> Iterator[Finding]:
    """Voxel sizes and shapes have to tell the same story."""
    factors = [s / s0 for s, s0 in zip(scale, finest)]
    for axis, (factor, n, n0) in enumerate(zip(factors, array.shape, base.shape)):
        halved = isclose(factor, round(factor), rel_tol=1e-6) and n == -(-n0 // round(factor))
        # Some writers stretch the voxels of a level that has one less than half.
        if not (halved or isclose(n * factor, n0, rel_tol=1e-6)):
            yield Finding(
                "shape",
                "error",
                f"Level {name} has {n} voxels of {scale[axis]:g} along axis {axis}, the finest "
                f"level {n0} of {finest[axis]:g}: these are not the same length; odd ends have to "
                "be rounded up.",
            )


def _shapes(multiscale: Mapping[str, Any], arrays: Arrays) -> Iterator[Finding]:
    names = [d["path"] for d in multiscale["datasets"] if d["path"] in arrays]
    for above, name in pairwise(names):
        finer, coarser = arrays[above], arrays[name]
        halves = [n == -(-m // 2) for n, m in zip(coarser.shape, finer.shape)]
        kept = [n == m for n, m in zip(coarser.shape, finer.shape)]
        if not any(halves) or not all(h or k for h, k in zip(halves, kept)) or all(kept):
            yield Finding(
                "levels",
                "warning",
                f"Level {name} has the shape {coarser.shape} after {finer.shape}; "
                "each level halves the one before, rounded up.",
            )


def _types(arrays: Arrays) -> Iterator[Finding]:
    kinds = {name: str(array.dtype) for name, array in arrays.items()}
    if len(set(kinds.values())) > 1:
        listed = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
        yield Finding("dtype", "error", f"The levels have different types: {listed}.")


def _zarr_format(attributes: Mapping[str, Any], arrays: Arrays) -> Iterator[Finding]:
    version, wanted = ("0.5", 3) if "ome" in attributes else ("0.4", 2)
    others = [name for name, array in arrays.items() if array.metadata.zarr_format != wanted]
    if others:
        yield Finding(
            "zarr-format",
            "error",
            f"Level {', '.join(others)} is not Zarr v{wanted}; OME-Zarr {version} stands on that.",
        )


def _dimension_names(multiscale: Mapping[str, Any], arrays: Arrays) -> Iterator[Finding]:
    axes = tuple(axis["name"] for axis in multiscale["axes"])
    for name, array in arrays.items():
        given = getattr(array.metadata, "dimension_names", axes)
        if given is None or tuple(given) != axes:
            yield Finding(
                "dimension-names",
                "error",
                f"The array of level {name} has the dimension_names {given}; OME-Zarr 0.5 wants "
                f"those of the axes, {list(axes)}.",
            )


def _display(ome: Mapping[str, Any], arrays: Arrays) -> Iterator[Finding]:
    if "image-label" in ome:
        return
    channels = (ome.get("omero") or {}).get("channels") or []
    window = channels[0].get("window") if channels else None
    if not window or any(key not in window for key in ("start", "end", "min", "max")):
        yield Finding(
            "display-window",
            "warning",
            "There is no omero window (start, end, min, max): viewers will guess the contrast.",
        )
        return
    if not window["start"] < window["end"]:
        yield Finding(
            "display-window",
            "warning",
            f"The omero window goes from {window['start']} to {window['end']}; it has to rise.",
        )
        return
    array = next(iter(arrays.values()), None)
    if array is None or array.dtype.kind not in "ui":
        return
    bounds = np.iinfo(array.dtype)
    for what, low, high in (("allows", "min", "max"), ("goes from", "start", "end")):
        if not bounds.min <= window[low] <= window[high] <= bounds.max:
            yield Finding(
                "display-window",
                "warning",
                f"The omero window {what} {window[low]} to {window[high]}; "
                f"{array.dtype} holds {bounds.min} to {bounds.max}.",
            )
            return


def _meaning(attributes: Mapping[str, Any]) -> Iterator[Finding]:
    if "hipct" not in attributes:
        return
    window = attributes["hipct"].get("window")
    if window is None:
        return
    missing = [key for key in ("scale", "offset", "unit") if window.get(key) in (None, "")]
    if missing:
        yield Finding(
            "values",
            "error",
            f"hipct/window lacks {', '.join(missing)}: grey values have no physical meaning.",
        )
    elif not (isfinite(window["scale"]) and window["scale"] > 0 and isfinite(window["offset"])):
        yield Finding(
            "values",
            "error",
            f"hipct/window has scale {window['scale']} and offset {window['offset']}; "
            "the scale has to be above 0, both finite.",
        )


def _incomplete(attributes: Mapping[str, Any]) -> Iterator[Finding]:
    missing = attributes.get("hipct", {}).get("incomplete")
    if missing:
        rows = ", ".join(f"{first} to {stop - 1}" for first, stop in missing["rows"])
        yield Finding(
            "incomplete",
            "error",
            f"Rows {rows} could not be made and are stored as 0: {' '.join(missing['reasons'])}",
        )


def _list(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"
