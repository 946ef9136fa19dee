"""From line integrals to slices: rotation axis, filters, the Fourier and the direct engine."""

from hipct.reconstruction.reconstructor import Reconstructor, fbp

__all__ = ["Reconstructor", "fbp"]
