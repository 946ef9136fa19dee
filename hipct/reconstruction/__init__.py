"""From line integrals to slices: rotation axis, filters, the Fourier and the direct engine."""
