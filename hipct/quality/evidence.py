"""What a report is made from, and what of it is not there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hipct.phase.kernel import kernel_length_px
from hipct.quality.frames import FrameLook
from hipct.quality.noted import Noted
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
    def noted(self) -> Noted:
        """The provenance, read with its types."""
        return Noted(self.provenance)

    @property
    def source(self) -> Noted:
        """Facts of the scan; empty if they were not noted."""
        return self.noted.table("source")

    @property
    def sub_scans(self) -> list[Noted]:
        """Those of a series; empty of a single scan."""
        return self.noted.table("series").rows("sub_scans")

    @property
    def reconstructed(self) -> bool:
        """Whether it was made from projections, by a run that noted what it did."""
        return names_axis(self.provenance)

    @property
    def why_no_run(self) -> str:
        """Why nothing is known of a run."""
        return "" if self.reconstructed else NO_PROVENANCE

    @property
    def centred(self) -> bool:
        """Whether the rotation axis is in the middle of the slices, as far as is known."""
        volume = self.noted.table("config").table("volume")
        if volume.has("crop_y") or volume.has("crop_x"):
            return False
        return all(math.hypot(*each.numbers("centre_px", 2)) < 0.5 for each in self.sub_scans)

    @property
    def radius_px(self) -> float | None:
        """Radius of the circle that was measured; None where nothing says it."""
        if not self.reconstructed or not self.centred:
            return None
        side = self.shape[2]
        if self.source.text("acquisition") == "half":
            return side / 2
        axes = [each.number("axis_px", 0, side) for each in self.sub_scans]
        axes = axes or [self.noted.table("estimates").number("axis_px", 0, side)]
        return min(min(axis, side - 1 - axis) for axis in axes if axis is not None) + 0.5

    @property
    def kernel_px(self) -> float | None:
        """Decay length of the kernel of phase retrieval; None where it is not known."""
        noted, source = self.noted, self.source
        method = noted.table("config").table("phase").text("method")
        pixel, energy = source.positive("pixel_size_um"), source.positive("energy_kev")
        distance = source.number("distance_m", 0)
        ratio = noted.table("estimates").positive("delta_beta")
        if pixel and energy and distance and ratio and method not in ("", "none"):
            return kernel_length_px(
                pixel_size_um=pixel, distance_m=distance, energy_kev=energy, delta_beta=ratio
            )
        return None


def names_axis(provenance: Mapping[str, Any]) -> bool:
    """Whether a run has noted its scan and the axis, without which its geometry is not known."""
    source, estimates = (mapping(provenance.get(name)) for name in ("source", "estimates"))
    return bool(source) and estimates.get("axis_px") is not None


def mapping(value: Any) -> Mapping[str, Any]:
    """A mapping, empty in place of anything else."""
    return value if isinstance(value, Mapping) else {}
