"""Which arrays a run computes on."""

from __future__ import annotations

from hipct.core.errors import ConfigError


def check_backend(name: str) -> None:
    """Refuse a backend that the chain cannot run on yet; ``auto`` is NumPy.

    Raises
    ------
    ConfigError
        For ``cupy``.
    """
    if name == "cupy":
        raise ConfigError(
            "compute.backend is cupy, and this version reconstructs on the CPU only; "
            "use --backend numpy (or auto)."
        )
