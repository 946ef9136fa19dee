"""Where the sub-scans of a simulated series stand, and how far they are off."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hipct.core.errors import InputError
from hipct.simulation.series_truth import Placement
from hipct.simulation.truth import Setup


@dataclass(frozen=True, kw_only=True)
class Faults:
    """How far the sub-scans of a series are off.

    Attributes
    ----------
    position_error_px : float
        Largest error of the motors' z, evenly distributed.
    lateral_error_px : float
        Largest translation of the sample in x and in y, evenly distributed.
    join_error_px : float
        Largest error of the motors' lateral step between the annuli of a quarter-acquisition.
    axis_drift_px : float
        How far the rotation axis moves from the first to the last sub-scan: a line with a tenth
        of random scatter.
    level_steps : float
        Largest relative deviation of a sub-scan's mu, evenly distributed.
    motion_px : float
        Largest translation of the sample in x, y and z from the start to the end of a sub-scan,
        which begins fast and comes to rest (a square root of time).
    darkening : float
        Light that the projections lose from the first to the last one of the series, while the
        flats stay.
    light_steps : float
        Largest relative deviation of a sub-scan's light from what the flats say, evenly
        distributed about none.
    """

    position_error_px: float = 0.0
    lateral_error_px: float = 0.0
    join_error_px: float = 0.0
    axis_drift_px: float = 0.0
    level_steps: float = 0.0
    motion_px: float = 0.0
    darkening: float = 0.0
    light_steps: float = 0.0

    def __post_init__(self) -> None:
        for name in ("position_error_px", "lateral_error_px", "join_error_px", "motion_px"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise InputError(f"{name} is {getattr(self, name)}; it has to be 0 or more.")
        if not math.isfinite(self.axis_drift_px):
            raise InputError(f"axis_drift_px is {self.axis_drift_px}; give a number of pixels.")
        for name in ("level_steps", "darkening", "light_steps"):
            if not 0 <= getattr(self, name) <= 0.5:
                raise InputError(f"{name} is {getattr(self, name)}; allowed is 0 to 0.5.")


def place_sub_scans(
    frame: Setup, faults: Faults, *, sub_scans: int, step: int, apart: int, descending: bool
) -> tuple[Placement, ...]:
    """Sub-scans by z; named in the order in which they were taken."""
    random = np.random.default_rng([frame.seed, 20])
    error, y, x, level = (random.uniform(-1, 1, sub_scans) for _ in range(4))
    level -= level.mean()
    along = np.linspace(-0.5, 0.5, sub_scans) if sub_scans > 1 else np.zeros(1)
    axes = frame.axis_px + faults.axis_drift_px * (along + 0.1 * random.uniform(-1, 1, sub_scans))
    joins = random.uniform(-1, 1, sub_scans)
    moved = random.uniform(-1, 1, (2 * sub_scans, 3))
    light = random.uniform(-1, 1, sub_scans)
    light -= light.mean()
    annuli: Any = ("inner", "outer") if apart else ("only",)
    count = sub_scans * len(annuli)
    places = []
    for k in range(sub_scans):
        taken = sub_scans - 1 - k if descending else k
        for n, annulus in enumerate(annuli):
            order = taken * len(annuli) + n
            lost = faults.darkening * np.array([order, order + 1]) / count
            lost -= faults.light_steps * light[k]
            aside = apart + faults.join_error_px * joins[k] if annulus == "outer" else 0.0
            places.append(
                Placement(
                    name=f"scan-{order:03d}",
                    rows=frame.rows,
                    columns=frame.columns,
                    offset_px=k * step + faults.position_error_px * float(error[k]),
                    motor_offset_px=float(k * step),
                    axis_px=float(axes[k] + aside),
                    y_px=faults.lateral_error_px * float(y[k]),
                    x_px=faults.lateral_error_px * float(x[k]),
                    level=1 + faults.level_steps * float(level[k]),
                    darkening=(float(lost[0]), float(lost[1])),
                    motion_px=tuple(faults.motion_px * moved[order]),
                    annulus=annulus,
                )
            )
    return tuple(places)
