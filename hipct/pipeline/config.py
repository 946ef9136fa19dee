"""The configuration of a run: one typed model.

The template (``hipct config``), the documentation (``docs/config.md``) and the error messages
are generated from the fields below, so that they cannot disagree with what the program does.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from hipct.core.memory import free_memory
from hipct.pipeline.config_errors import NOWHERE, Origin, config_error
from hipct.pipeline.sections import (
    AxisConfig,
    ComputeConfig,
    FlatConfig,
    HalfConfig,
    PolarConfig,
    ReconstructionConfig,
    RepairConfig,
    RingsConfig,
    ScanConfig,
    UnsharpConfig,
    VolumeConfig,
)
from hipct.pipeline.sections_acquisition import HelicalConfig, QuarterConfig
from hipct.pipeline.sections_flats import (
    DarkeningConfig,
    DistortionConfig,
    DoubleFlatConfig,
    DynamicFlatConfig,
    ReferenceConfig,
)
from hipct.pipeline.sections_motion import MotionConfig
from hipct.pipeline.sections_phase import PhaseConfig
from hipct.pipeline.sections_series import StitchingConfig

SHARE_OF_FREE_MEMORY = 0.8

PATHS = (("compute", "scratch"), ("reference", "path"), ("distortion", "map_file"))
"""Settings that name a file or a folder."""


class Config(BaseModel):
    """Everything that a run can be told.

    Parameters
    ----------
    origin : Origin
        Where the values come from, for the error messages.
    **sections
        Sections by name, each a mapping or a section object.

    Raises
    ------
    ConfigError
        If a key is unknown or a value is not allowed.

    Examples
    --------
    >>> config = Config(phase={"delta_beta": 1660}, volume={"chunk": 64})
    >>> config.phase.delta_beta, config.phase.method
    (1660.0, 'paganin')
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    scan: ScanConfig = ScanConfig()
    flat: FlatConfig = FlatConfig()
    reference: ReferenceConfig = ReferenceConfig()
    dynamic_flat: DynamicFlatConfig = DynamicFlatConfig()
    darkening: DarkeningConfig = DarkeningConfig()
    double_flat: DoubleFlatConfig = DoubleFlatConfig()
    repair: RepairConfig = RepairConfig()
    distortion: DistortionConfig = DistortionConfig()
    phase: PhaseConfig = PhaseConfig()
    unsharp: UnsharpConfig = UnsharpConfig()
    rings: RingsConfig = RingsConfig()
    polar: PolarConfig = PolarConfig()
    half: HalfConfig = HalfConfig()
    quarter: QuarterConfig = QuarterConfig()
    helical: HelicalConfig = HelicalConfig()
    axis: AxisConfig = AxisConfig()
    motion: MotionConfig = MotionConfig()
    stitching: StitchingConfig = StitchingConfig()
    reconstruction: ReconstructionConfig = ReconstructionConfig()
    volume: VolumeConfig = VolumeConfig()
    compute: ComputeConfig = ComputeConfig()

    def __init__(self, origin: Origin = NOWHERE, /, **sections: Any) -> None:
        try:
            super().__init__(**sections)
        except ValidationError as error:
            raise config_error(type(self), error, sections, origin) from None

    @field_validator("*", mode="before")
    @classmethod
    def _empty_section(cls, value: Any) -> Any:
        return {} if value is None else value

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """All settings as JSON values, by section and name."""
        return self.model_dump(mode="json")

    def memory_bytes(self) -> int:
        """Bytes that the run may take: as given, else 80 % of what is free now."""
        return self.compute.memory or int(SHARE_OF_FREE_MEMORY * free_memory())


def with_absolute_paths(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by section and name whose paths mean the same in every folder.

    Examples
    --------
    >>> with_absolute_paths({"compute": {"scratch": "/fast", "threads": 2}})
    {'compute': {'scratch': '/fast', 'threads': 2}}
    """
    found = dict(settings)
    for section, name in PATHS:
        values = found.get(section) or {}
        if values.get(name) is not None:
            found[section] = {**values, name: str(Path(values[name]).absolute())}
    phase = found.get("phase") or {}
    if phase.get("scans"):
        scans = [str(Path(path).absolute()) for path in phase["scans"]]
        found["phase"] = {**phase, "scans": scans}
    return found
