"""Figures of the beam: Fresnel regime, exposure, dose."""

from __future__ import annotations

from collections.abc import Iterable

from hipct.core.errors import MissingMetadata
from hipct.core.physics import wavelength_m
from hipct.quality.dose import dose_gy
from hipct.quality.evidence import NO_PROVENANCE, Evidence
from hipct.quality.judging import Judge, all_judged, judged, without_limits
from hipct.quality.lights import LIMITS, Figure, number

LINEAR = ("paganin", "generalised", "multi_material")
"""Methods that take the intensity to change linearly with the distance."""

_WORDS = {
    "energy_kev": "the photon energy",
    "distance_m": "the propagation distance",
    "pixel_size_um": "the pixel size",
    "projections": "the number of projections",
}


def beam_figures(known: Evidence) -> Iterable[Figure]:
    """All of them, in the order of a report."""
    return all_judged(_JUDGES, known)


def _fresnel(known: Evidence) -> Figure:
    key = "fresnel"
    energy, distance, pixel = _facts(known, "energy_kev", "distance_m", "pixel_size_um")
    value = wavelength_m(energy) * distance / (pixel * 1e-6) ** 2
    note = f"{energy:g} keV, {distance:g} m, {pixel:g} um."
    method = known.noted.table("config").table("phase").text("method")
    if method and method not in LINEAR:
        note += f" phase.method={method} is not linear retrieval, so that no limit is set."
        return without_limits(judged(key, value, note))
    if value > LIMITS[key].green:
        note += (
            f" Fringes reverse detail of less than {value**0.5:.1f} voxels a period; docs/phase.md "
            "says when another method than linear retrieval errs less."
        )
    return judged(key, value, note)


def _quanta(known: Evidence) -> Figure:
    look, key = known.frames, "quanta"
    if look is None or look.references is None:
        return judged(key, None, _no_flats(known))
    views = f" {look.subframes} camera frames a view." if look.subframes > 1 else ""
    note = f"Flats of {look.references.counts:.0f} counts above the dark.{views}"
    if look.references.quanta is None:
        note += " They do not tell how many photons there were."
    return judged(key, look.references.quanta, note)


def _saturated(known: Evidence) -> Figure:
    look, key = known.frames, "saturated"
    if look is None or look.references is None:
        return judged(key, None, _no_flats(known))
    return judged(key, 100 * look.references.saturated)


def _no_flats(known: Evidence) -> str:
    if known.frames is None:
        return known.frames_why
    return known.frames.reasons.get("references", "No flats.")


def _current(known: Evidence) -> Figure:
    look, key = known.frames, "current"
    if look is None or look.current is None:
        why = known.frames_why if look is None else "The scan holds no machine current."
        return judged(key, None, why)
    first, last, unit = look.current
    note = f"{number(first)} to {number(last)} {unit}".strip() + "."
    return judged(key, 100 * last / first if first else None, note)


def _dose(known: Evidence) -> Figure:
    key = "dose"
    energy, pixel, views = _facts(known, "energy_kev", "pixel_size_um", "projections")
    if known.frames is None:
        return judged(key, None, known.frames_why)
    references = known.frames.references
    if references is None or references.quanta is None:
        return judged(key, None, "The flats do not tell how many photons there were.")
    dose = dose_gy(
        references.quanta, projections=int(views), pixel_size_um=pixel, energy_kev=energy
    )
    return judged(key, dose)


def _facts(known: Evidence, *names: str) -> list[float]:
    """Some facts of the scan; a sentence where it does not hold one of them."""
    source = known.source
    if not source:
        raise MissingMetadata(NO_PROVENANCE)
    absent = [_WORDS[name] for name in names if not source.has(name)]
    if absent:
        raise MissingMetadata(f"The scan does not hold {' and '.join(absent)}.")
    # A scan without propagation is one of pure absorption; nothing else may be 0.
    found = [
        source.number(name, 0) if name == "distance_m" else source.positive(name) for name in names
    ]
    return [value for value in found if value is not None]


_JUDGES: dict[str, Judge] = {
    "fresnel": _fresnel,
    "quanta": _quanta,
    "saturated": _saturated,
    "current": _current,
    "dose": _dose,
}
