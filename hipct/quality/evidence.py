"""What a report is made from, and what of it is not there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hipct.quality.frames import FrameLook
from hipct.quality.lights import LIMITS, Figure
from hipct.quality.voxels import VoxelLook

NO_PROVENANCE = "The volume does not say how it was made."


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that is known of a volume.

    Attributes
    ----------
    shape : (int, int, int)
        z, y, x of the finest level.
    provenance : mapping
        What hipct noted in it; empty for a volume made elsewhere.
    voxels : VoxelLook or None
    frames : FrameLook or None
    voxels_why, frames_why : str
        Why one of them is not there, as a sentence.
    """

    shape: tuple[int, int, int]
    provenance: Mapping[str, Any]
    voxels: VoxelLook | None
    frames: FrameLook | None
    voxels_why: str = ""
    frames_why: str = ""

    @property
    def source(self) -> Mapping[str, Any]:
        """Facts of the scan; empty if they were not noted."""
        return mapping(self.provenance.get("source"))

    @property
    def sub_scans(self) -> Sequence[Mapping[str, Any]]:
        """Those of a series; empty of a single scan."""
        return list(mapping(self.provenance.get("series")).get("sub_scans", []))

    def setting(self, section: str, key: str) -> Any:
        """A value of the configuration of the run; None if it was not noted."""
        return mapping(mapping(self.provenance.get("config")).get(section)).get(key)

    @property
    def reconstructed(self) -> bool:
        """Whether it was made from projections, by a run that noted what it did."""
        return bool(self.source) and names_axis(self.provenance)

    @property
    def why_no_run(self) -> str:
        """Why nothing is known of a run."""
        return "" if self.reconstructed else NO_PROVENANCE

    @property
    def centred(self) -> bool:
        """Whether the rotation axis is in the middle of the slices, as far as is known."""
        if any(self.setting("volume", key) is not None for key in ("crop_y", "crop_x")):
            return False
        return all(math.hypot(*each["centre_px"]) < 0.5 for each in self.sub_scans)

    @property
    def radius_px(self) -> float | None:
        """Radius of the circle that was measured; None where nothing says it."""
        if not self.reconstructed or not self.centred:
            return None
        side = self.shape[2]
        if self.source.get("acquisition") == "half":
            return side / 2
        axes = [each["axis_px"] for each in self.sub_scans]
        axes = axes or [self.provenance["estimates"]["axis_px"]]
        return float(min(min(axis, side - 1 - axis) for axis in axes)) + 0.5


def names_axis(provenance: Mapping[str, Any]) -> bool:
    """Whether a run has noted the rotation axis, without which its geometry is not known."""
    return mapping(provenance.get("estimates")).get("axis_px") is not None


def mapping(value: Any) -> Mapping[str, Any]:
    """A mapping, empty in place of anything else."""
    return value if isinstance(value, Mapping) else {}


def judged(
    key: str,
    title: str,
    definition: str,
    value: float | None,
    *,
    unit: str = "",
    note: str = "",
) -> Figure:
    """A figure with its light."""
    limits = LIMITS.get(key)
    light = limits.light(value) if limits is not None and value is not None else "grey"
    return Figure(key, title, definition, value, unit, light, note)
