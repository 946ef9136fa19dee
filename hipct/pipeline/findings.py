"""What a run finds out before it streams, kept in its ledger so that it is found once.

A resumed run has to go on with the same numbers, and an estimate of a long series takes a while.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hipct.acquisition.scan import Scan
from hipct.core.device import Device
from hipct.core.errors import InputError
from hipct.core.progress import Observer
from hipct.pipeline.assembly import Assembly
from hipct.pipeline.backend import failures_told
from hipct.pipeline.config import Config
from hipct.pipeline.corrections_measure import measure_corrections, wants_corrections
from hipct.pipeline.estimates import estimate_axis, estimate_window
from hipct.pipeline.helix import HelicalScan
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.motion import Motion, measure_motion
from hipct.pipeline.organ import Part
from hipct.pipeline.placing import GIVEN_ERROR_PX, Placing, place_parts
from hipct.pipeline.plan import Plan
from hipct.pipeline.report import StageClock
from hipct.pipeline.stations import parts_by_motors, source_jobs
from hipct.pipeline.subject import Subject
from hipct.volume.window import Window


class Findings:
    """Axes, places and the window of a run.

    Parameters
    ----------
    ledger : Ledger
        Knows what an earlier run has found.
    clock, observer : StageClock, Observer
        Times and progress.
    device : Device
        Where it is computed.
    """

    def __init__(
        self, ledger: Ledger, clock: StageClock, observer: Observer, device: Device
    ) -> None:
        self._ledger, self._clock, self._observer = ledger, clock, observer
        self._device = device

    def parts(self, subject: Subject, config: Config) -> tuple[list[Scan], list[Part]]:
        """The scan of each height, corrected and joined as configured, where the motors have it."""
        clock, observer = self._clock, self._observer
        corrections = measure_corrections(
            subject.scans,
            source_jobs(subject, config),
            self._ledger.folder / "corrections",
            clock,
            observer,
            device=self._device,
        )
        for note in dict.fromkeys(note for each in corrections for note in each.notes):
            observer.say(note)
        scans, parts, annuli = parts_by_motors(
            subject,
            config,
            clock,
            observer,
            corrections=corrections if wants_corrections(config) else None,
            known=self._ledger.state().get("annuli"),
        )
        if annuli:
            self._ledger.remember(annuli=annuli)
        return scans, parts

    def axes(self, scans: Sequence[Scan], parts: Sequence[Part]) -> list[dict[str, Any]]:
        """Rotation axis of each part: value, method, confidence and uncertainty.

        Of a series, one whose axis cannot be found has NaN for its value: it follows from those of
        its neighbours.
        """
        known: list[dict[str, Any]] = self._ledger.state().get("axes", [])
        for scan, part in list(zip(scans, parts))[len(known) :]:
            found = self._axis(scan, part)
            known.append(found)
            self._ledger.remember(axes=known)
        for found, part in zip(known, parts):
            of = f" of {part.name}" if part.name else ""
            self._observer.say(
                f"The rotation axis{of} is at column {found['value']:.2f} ({found['method']}, "
                f"confidence {found['confidence']:.2f})."
                if found["value"] is not None
                else f"The rotation axis{of} was not found; it follows from its neighbours."
            )
        if all(found["value"] is None for found in known):
            raise InputError(
                "The rotation axis was found in no sub-scan; give it with axis.value, or look at "
                "one sub-scan with hipct axis."
            )
        return known

    def motion(
        self, scans: Sequence[Scan], parts: Sequence[Part], axes: list[dict[str, Any]]
    ) -> tuple[list[Part], list[dict[str, Any]]]:
        """Parts with the motion of the sample in each, and the axes without that motion.

        Opposite views are taken at different times: where the sample has moved between them, the
        axis is found again on frames that are moved back.
        """
        settings = parts[0].job.config.motion
        if settings.method == "none" and not settings.flag:
            return list(parts), axes
        known: list[dict[str, Any]] = self._ledger.state().get("motion", [])
        moved: list[Part] = []
        for k, (scan, part, axis) in enumerate(zip(scans, parts, axes)):
            info = part.job.info
            if k < len(known):
                found, again = Motion.from_dict(known[k]["motion"], info), known[k]["axis"]
            else:
                found = self._motion(scan, replace(part, axis=axis["value"]))
                again = axis
                if found.moves and part.job.config.axis.value is None:
                    again = self._axis(scan, replace(part, motion=found))
                known.append({"motion": found.as_dict(), "axis": again})
                self._ledger.remember(motion=known)
            for note in found.notes:
                self._observer.say(note)
            moved.append(replace(part, motion=found))
        return moved, [each["axis"] for each in known]

    def _motion(self, scan: Scan, part: Part) -> Motion:
        info = part.job.info
        if isinstance(scan, HelicalScan):
            return Motion.of_still(
                info, [f"{info.where} is helical: motion in it is not looked for."]
            )
        with failures_told(self._device):
            return measure_motion(
                scan,
                part.job,
                part.known_axis,
                self._clock,
                self._observer,
                corrections=part.corrections,
                device=self._device,
            )

    def placing(
        self, scans: Sequence[Scan], parts: Sequence[Part], axes: Sequence[dict[str, Any]]
    ) -> Placing:
        """Places and levels of the sub-scans of a series."""
        known = self._ledger.state().get("placing")
        if known is not None:
            return Placing.from_dict(known)
        with failures_told(self._device):
            found = place_parts(
                scans, parts, axes, self._clock, self._observer, device=self._device
            )
        self._ledger.remember(placing=found.as_dict())
        for note in found.notes:
            self._observer.say(note)
        off = max(map(abs, found.motor_error_px))
        self._observer.say(
            f"The sub-scans are placed: at most {off:.2f} rows from where the motors have them."
        )
        return found

    def window(self, scans: Sequence[Scan], plan: Plan, assembly: Assembly) -> Window:
        """The 16-bit window: given, found by an earlier run, or found now."""
        given = plan.job.config.volume.window or self._ledger.state().get("window")
        if given is not None:
            return Window(*given)
        window = estimate_window(
            scans, plan, assembly, self._clock, self._observer, device=self._device
        )
        self._ledger.remember(window=[window.low, window.high])
        self._observer.say(
            f"The 16-bit window is {window.low:.4g} to {window.high:.4g} {plan.job.unit}."
        )
        return window

    def _axis(self, scan: Scan, part: Part) -> dict[str, Any]:
        """The axis of one scan: given, or found."""
        job, given = part.job, part.job.config.axis.value
        if given is not None:
            found: dict[str, Any] = {
                "value": given,
                "method": "given",
                "confidence": 1.0,
                "uncertainty_px": GIVEN_ERROR_PX,
            }
        else:
            try:
                with failures_told(self._device):
                    estimate = estimate_axis(
                        scan, part, self._clock, self._observer, device=self._device
                    )
            except InputError as error:
                if not part.name:
                    raise
                self._observer.say(f"{part.name}: {error}")
                return {"value": None, "method": "none", "confidence": 0.0, "uncertainty_px": 0.0}
            found = {
                "value": float(estimate.value),
                "method": estimate.method,
                "confidence": float(estimate.confidence),
                "uncertainty_px": float(estimate.uncertainty_px),
            }
            for note in estimate.notes:
                self._observer.say(f"{part.name}: {note}" if part.name else note)
        value, last = found["value"], job.info.columns - 1
        if not job.half and not 0 <= value <= last:
            raise InputError(
                f"The rotation axis at column {value:.2f} lies off the detector (columns 0 to "
                f"{last}), which a full scan cannot have; set axis.value, or "
                "scan.acquisition=half if this is a half-acquisition."
            )
        return found


def with_axes(parts: Sequence[Part], axes: Sequence[dict[str, Any]]) -> tuple[Part, ...]:
    """Parts with the axes that were found."""
    return tuple(replace(part, axis=found["value"]) for part, found in zip(parts, axes))
