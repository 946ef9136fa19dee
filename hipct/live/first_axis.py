"""A rotation axis that is near enough for a first picture, in a fraction of the time of the search.

The search of a run looks at whole pixels of many rows. That on frames binned 4 x 4, of a quarter of
the projections, is good to a few tenths of a pixel.
"""

from __future__ import annotations

from dataclasses import replace

from hipct.core.errors import HipctError
from hipct.core.progress import Silent
from hipct.live.coarse import CoarseLevel
from hipct.live.scan import LiveScan
from hipct.pipeline.corrections_measure import wants_corrections
from hipct.pipeline.estimates import estimate_axis
from hipct.pipeline.sections_motion import MotionConfig
from hipct.pipeline.virtual import Untimed

LEVEL = 2
ROWS = 4
"""Binned rows that the search looks at."""

LEAST_CONFIDENCE = 0.5
"""Below it a picture would be worse than none."""


def first_look(live: LiveScan) -> LiveScan | None:
    """The scan under an axis that is found at once, for as long as its own is sought.

    Parameters
    ----------
    live : LiveScan

    Returns
    -------
    LiveScan or None
        ``None`` where this would take as long as the real thing (series, annuli, corrections that
        have to be measured), where the axis is given, or where no axis is found.
    """
    config, scans = live.config, live.scans
    if len(scans) > 1 or wants_corrections(config) or config.axis.value is not None:
        return None
    info = scans[0].info
    if info.projection_z_um is not None:
        return None

    def under(axis: float) -> LiveScan:
        given = config.axis.model_copy(update={"value": axis})
        other = config.model_copy(update={"axis": given, "motion": MotionConfig()})
        return live.with_config(other, observer=Silent())

    try:
        # Where it lies decides nothing yet but the size of the slices.
        scan, part = CoarseLevel(under((info.columns - 1) / 2).settle(), LEVEL).part(0)
        axis = part.job.config.axis.model_copy(update={"rows": ROWS})
        job = replace(part.job, config=part.job.config.model_copy(update={"axis": axis}))
        found = estimate_axis(scan, replace(part, job=job), Untimed(), Silent())
    except HipctError:
        return None
    if found.confidence < LEAST_CONFIDENCE:
        return None
    return under((float(found.value) + 0.5) * 2**LEVEL - 0.5)
