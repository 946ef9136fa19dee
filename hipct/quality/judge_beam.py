"""Figures of the beam: Fresnel regime, exposure, dose."""

from __future__ import annotations

from hipct.core.errors import InputError
from hipct.core.physics import wavelength_m
from hipct.quality.dose import dose_gy
from hipct.quality.evidence import Evidence, judged
from hipct.quality.lights import Figure, number

LINEAR = ("paganin", "generalised", "multi_material")
"""Methods that take the intensity to change linearly with the distance."""

_WORDS = {
    "energy_kev": "the photon energy",
    "distance_m": "the propagation distance",
    "pixel_size_um": "the pixel size",
    "projections": "the number of projections",
}


def beam_figures(known: Evidence) -> list[Figure]:
    """All of them, in the order of a report."""
    return [_fresnel(known), *_exposure(known), _dose(known)]


def _fresnel(known: Evidence) -> Figure:
    key, title = "fresnel", "Fresnel regime"
    definition = (
        "lambda z / p^2. Up to 2 the phase contrast of every frequency of the detector grows with "
        "the distance, as linear retrieval takes it to; from 4 on that of the finest is reversed."
    )
    why = _lacks(known, "energy_kev", "distance_m", "pixel_size_um")
    if why:
        return judged(key, title, definition, None, note=why)
    energy, distance, pixel = (
        float(known.source[name]) for name in ("energy_kev", "distance_m", "pixel_size_um")
    )
    value = wavelength_m(energy) * distance / (pixel * 1e-6) ** 2
    note = f"{energy:g} keV, {distance:g} m, {pixel:g} um."
    method = known.setting("phase", "method")
    if method is not None and method not in LINEAR:
        note += f" phase.method={method} is not linear retrieval, so that no limit is set."
        return Figure(key, title, definition, value, "", "grey", note)
    return judged(key, title, definition, value, note=note)


def _exposure(known: Evidence) -> list[Figure]:
    """Photons of a view, saturation, machine current."""
    quanta = (
        "Photons a pixel and view that would give the noise of the flats: fewer than have hit the "
        "detector, as none counts all; more where its blur averages noise."
    )
    saturated = "Pixels of the flats that hold the largest number that their type can."
    current = "Machine current at the last view over that at the first."
    look = known.frames
    references = None if look is None else look.references
    figures = []
    if look is None or references is None:
        note = known.frames_why if look is None else look.reasons.get("references", "No flats.")
        figures += [
            judged("quanta", "Effective photons", quanta, None, unit="a pixel", note=note),
            judged("saturated", "Saturated pixels", saturated, None, unit="%", note=note),
        ]
    else:
        views = f" {look.subframes} camera frames a view." if look.subframes > 1 else ""
        note = f"Flats of {references.counts:.0f} counts above the dark.{views}"
        figures += [
            judged("quanta", "Effective photons", quanta, references.quanta, unit="a pixel",
                   note=note),
            judged("saturated", "Saturated pixels", saturated, 100 * references.saturated,
                   unit="%"),
        ]  # fmt: skip
    if look is None or look.current is None:
        note = known.frames_why if look is None else "The scan holds no machine current."
        return [*figures, judged("current", "Machine current", current, None, unit="%", note=note)]
    first, last, unit = look.current
    note = f"{number(first)} to {number(last)} {unit}".strip() + "."
    value = 100 * last / first if first else None
    return [*figures, judged("current", "Machine current", current, value, unit="%", note=note)]


def _dose(known: Evidence) -> Figure:
    key, title = "dose", "Dose, estimate"
    definition = (
        "Dose in water where the beam enters, of the effective photons of all views of one "
        "sub-scan: N n E (mu_en/rho) / p^2. Too small by what the detector does not count, too "
        "large by what its blur averages."
    )
    why = _lacks(known, "energy_kev", "pixel_size_um", "projections")
    quanta = None
    if known.frames is None:
        why = why or known.frames_why
    elif known.frames.references is not None:
        quanta = known.frames.references.quanta
    if why or quanta is None:
        note = why or "The flats do not tell how many photons there were."
        return judged(key, title, definition, None, unit="Gy", note=note)
    try:
        value = dose_gy(
            quanta,
            projections=int(known.source["projections"]),
            pixel_size_um=float(known.source["pixel_size_um"]),
            energy_kev=float(known.source["energy_kev"]),
        )
    except InputError as error:
        return judged(key, title, definition, None, unit="Gy", note=str(error))
    return judged(key, title, definition, value, unit="Gy")


def _lacks(known: Evidence, *names: str) -> str:
    """What the scan does not hold of some facts, as a sentence; empty if nothing."""
    if not known.source:
        return known.why_no_run or "The volume does not say what it was made of."
    absent = [_WORDS[name] for name in names if known.source.get(name) is None]
    return f"The scan does not hold {' and '.join(absent)}." if absent else ""
