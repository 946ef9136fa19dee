"""Phase retrieval and the sharpening that follows it."""

from __future__ import annotations

from hipct.phase.contrast import Contrast, propagation_number
from hipct.phase.convert import (
    EffectiveGeometry,
    delta_beta_from_pyhst_length,
    delta_beta_from_tomopy_alpha,
    effective_geometry,
    pyhst_length_from_delta_beta,
    soft_tissue_delta_beta,
    tomopy_alpha_from_delta_beta,
)
from hipct.phase.distances import ContrastFilter, ctf
from hipct.phase.halo import halo_rows
from hipct.phase.kernel import kernel_length_px
from hipct.phase.materials import (
    interface_delta_beta,
    mask_by_value,
    splice,
    splice_by_mask,
)
from hipct.phase.nonlinear import NonlinearFilter
from hipct.phase.paganin import PaganinFilter, paganin
from hipct.phase.unsharp import UnsharpMask, unsharp, unsharp_halo_rows

__all__ = [
    "Contrast",
    "ContrastFilter",
    "EffectiveGeometry",
    "NonlinearFilter",
    "PaganinFilter",
    "UnsharpMask",
    "ctf",
    "delta_beta_from_pyhst_length",
    "delta_beta_from_tomopy_alpha",
    "effective_geometry",
    "halo_rows",
    "interface_delta_beta",
    "kernel_length_px",
    "mask_by_value",
    "paganin",
    "propagation_number",
    "pyhst_length_from_delta_beta",
    "soft_tissue_delta_beta",
    "splice",
    "splice_by_mask",
    "tomopy_alpha_from_delta_beta",
    "unsharp",
    "unsharp_halo_rows",
]
