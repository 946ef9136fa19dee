"""The cache of plans; transforms are those of ``cupyx.scipy.fft``."""

from cupy.fft import config

__all__ = ["config"]
