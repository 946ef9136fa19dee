"""A device and which one is current."""

from __future__ import annotations

import threading
from typing import Any

from cupy import _devices
from cupy._devices import current_device, use_device
from cupy.cuda import runtime

_before = threading.local()


class Device:
    """One device; as a context, the current one within it."""

    def __init__(self, device: Any = None):
        self.id = current_device() if device is None else int(device)

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return self.id

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def __enter__(self) -> Device:
        if not hasattr(_before, "stack"):
            _before.stack = []
        _before.stack.append(current_device())
        use_device(self.id)
        return self

    def __exit__(self, *args: object) -> None:
        _devices._local.device = _before.stack.pop()

    def use(self) -> None:
        """Make it that of this thread."""
        use_device(self.id)

    def synchronize(self) -> None:
        """Wait for all of its work."""
        with self:
            runtime.deviceSynchronize()

    @property
    def compute_capability(self) -> str:
        """Its generation, in digits."""
        return "80"

    @property
    def attributes(self) -> dict[str, int]:
        """What the runtime tells of it."""
        return {"MultiProcessorCount": 2, "ClockRate": 1_000_000, "WarpSize": 32}

    @property
    def mem_info(self) -> tuple[int, int]:
        """Bytes that are free, and all bytes."""
        with self:
            return runtime.memGetInfo()


__all__ = ["Device"]
