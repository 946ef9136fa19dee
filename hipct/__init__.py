"""HiP-CT from raw projections to a browsable organ volume.

One page of public API; everything else may move. Nothing heavy is imported until a name is used.

From arrays to arrays
    flat_field, line_integral, paganin, unsharp, remove_rings, find_axis, fbp (planned once for many
    slices: Reconstructor), write_pyramid
From a scan to a volume
    open_scan, open_series, import_scan, import_series, simulate_scan, simulate_series, load_truth,
    make_plan, reconstruct
Volumes
    open_volume, check_volume, view, snapshot, build_pyramid, build_levels, export_volume,
    register_zoom
Settings and conversions
    Config, load_config, set_thread_count, halo_rows, kernel_length_px, effective_geometry,
    soft_tissue_delta_beta and the converters of delta/beta
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "AxisEstimate",
    "Config",
    "ConfigError",
    "DeviceError",
    "FormatError",
    "HipctError",
    "InputError",
    "MissingExtra",
    "MissingMetadata",
    "OutputError",
    "Plan",
    "PlanError",
    "Reconstructor",
    "RemoteError",
    "RunResult",
    "Scan",
    "ScanInfo",
    "Window",
    "__version__",
    "build_levels",
    "build_pyramid",
    "check_volume",
    "delta_beta_from_pyhst_length",
    "delta_beta_from_tomopy_alpha",
    "effective_geometry",
    "export_volume",
    "fbp",
    "find_axis",
    "flat_field",
    "halo_rows",
    "import_scan",
    "import_series",
    "kernel_length_px",
    "line_integral",
    "load_config",
    "load_truth",
    "make_plan",
    "open_scan",
    "open_series",
    "open_volume",
    "paganin",
    "pyhst_length_from_delta_beta",
    "reconstruct",
    "register_zoom",
    "remove_rings",
    "set_thread_count",
    "simulate_scan",
    "simulate_series",
    "snapshot",
    "soft_tissue_delta_beta",
    "tomopy_alpha_from_delta_beta",
    "unsharp",
    "view",
    "write_pyramid",
]

if TYPE_CHECKING:
    from hipct.acquisition.importing import import_scan
    from hipct.acquisition.open import open_scan
    from hipct.acquisition.scan import Scan, ScanInfo
    from hipct.acquisition.series import open_series
    from hipct.acquisition.series_import import import_series
    from hipct.atlas.register import register_zoom
    from hipct.core.errors import (
        ConfigError,
        DeviceError,
        FormatError,
        HipctError,
        InputError,
        MissingExtra,
        MissingMetadata,
        OutputError,
        PlanError,
        RemoteError,
    )
    from hipct.core.threads import set_thread_count
    from hipct.exchange.export import export_volume
    from hipct.exchange.snapshot import snapshot
    from hipct.phase.convert import (
        delta_beta_from_pyhst_length,
        delta_beta_from_tomopy_alpha,
        effective_geometry,
        pyhst_length_from_delta_beta,
        soft_tissue_delta_beta,
        tomopy_alpha_from_delta_beta,
    )
    from hipct.phase.halo import halo_rows
    from hipct.phase.kernel import kernel_length_px
    from hipct.phase.paganin import paganin
    from hipct.phase.unsharp import unsharp
    from hipct.pipeline.config import Config
    from hipct.pipeline.config_io import load_config
    from hipct.pipeline.plan import Plan, make_plan
    from hipct.pipeline.run import reconstruct
    from hipct.pipeline.work import RunResult
    from hipct.preparation.flat import flat_field
    from hipct.preparation.linearise import line_integral
    from hipct.preparation.rings import remove_rings
    from hipct.reconstruction.axis import AxisEstimate, find_axis
    from hipct.reconstruction.reconstructor import Reconstructor, fbp
    from hipct.simulation.scan import simulate_scan
    from hipct.simulation.series import simulate_series
    from hipct.simulation.truth import load_truth
    from hipct.viewing.window import view
    from hipct.volume.check import check_volume
    from hipct.volume.open import open_volume
    from hipct.volume.pyramid import write_pyramid
    from hipct.volume.pyramid_build import build_pyramid
    from hipct.volume.pyramid_levels import build_levels
    from hipct.volume.window import Window

_HOMES = {
    "import_scan": "hipct.acquisition.importing",
    "open_scan": "hipct.acquisition.open",
    "Scan": "hipct.acquisition.scan",
    "ScanInfo": "hipct.acquisition.scan",
    "ConfigError": "hipct.core.errors",
    "FormatError": "hipct.core.errors",
    "HipctError": "hipct.core.errors",
    "InputError": "hipct.core.errors",
    "MissingExtra": "hipct.core.errors",
    "MissingMetadata": "hipct.core.errors",
    "OutputError": "hipct.core.errors",
    "PlanError": "hipct.core.errors",
    "set_thread_count": "hipct.core.threads",
    "delta_beta_from_pyhst_length": "hipct.phase.convert",
    "delta_beta_from_tomopy_alpha": "hipct.phase.convert",
    "effective_geometry": "hipct.phase.convert",
    "pyhst_length_from_delta_beta": "hipct.phase.convert",
    "soft_tissue_delta_beta": "hipct.phase.convert",
    "tomopy_alpha_from_delta_beta": "hipct.phase.convert",
    "halo_rows": "hipct.phase.halo",
    "kernel_length_px": "hipct.phase.kernel",
    "paganin": "hipct.phase.paganin",
    "unsharp": "hipct.phase.unsharp",
    "Config": "hipct.pipeline.config",
    "load_config": "hipct.pipeline.config_io",
    "Plan": "hipct.pipeline.plan",
    "make_plan": "hipct.pipeline.plan",
    "RunResult": "hipct.pipeline.work",
    "reconstruct": "hipct.pipeline.run",
    "flat_field": "hipct.preparation.flat",
    "line_integral": "hipct.preparation.linearise",
    "remove_rings": "hipct.preparation.rings",
    "AxisEstimate": "hipct.reconstruction.axis",
    "find_axis": "hipct.reconstruction.axis",
    "Reconstructor": "hipct.reconstruction.reconstructor",
    "fbp": "hipct.reconstruction.reconstructor",
    "simulate_scan": "hipct.simulation.scan",
    "load_truth": "hipct.simulation.truth",
    "view": "hipct.viewing.window",
    "check_volume": "hipct.volume.check",
    "open_volume": "hipct.volume.open",
    "write_pyramid": "hipct.volume.pyramid",
    "Window": "hipct.volume.window",
    "DeviceError": "hipct.core.errors",
    "RemoteError": "hipct.core.errors",
    "build_levels": "hipct.volume.pyramid_levels",
    "build_pyramid": "hipct.volume.pyramid_build",
    "export_volume": "hipct.exchange.export",
    "snapshot": "hipct.exchange.snapshot",
    "import_series": "hipct.acquisition.series_import",
    "open_series": "hipct.acquisition.series",
    "register_zoom": "hipct.atlas.register",
    "simulate_series": "hipct.simulation.series",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'hipct' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(globals().keys() | set(__all__))
