"""How many devices there are, of what kind, and which one is current in this thread."""

from __future__ import annotations

import os
import threading

RUNTIME = 12090

_ERRORS = {
    2: "cudaErrorMemoryAllocation: out of memory",
    35: "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version",
    100: "cudaErrorNoDevice: no CUDA-capable device is detected",
    101: "cudaErrorInvalidDevice: invalid device ordinal",
}


class CUDARuntimeError(RuntimeError):
    """An error of the CUDA runtime, by its number."""

    def __init__(self, status: int):
        self.status = status
        super().__init__(_ERRORS.get(status, f"cudaError {status}"))


class _Local(threading.local):
    device = 0
    stream = 0


_local = _Local()


def driver_version() -> int:
    """As ``HIPCT_STANDIN_DRIVER`` says, e.g. 12080; 0 where no driver is installed."""
    return int(os.environ.get("HIPCT_STANDIN_DRIVER", str(RUNTIME)))


def device_count() -> int:
    """As ``HIPCT_STANDIN_DEVICES`` says, 1 by default; as many as CUDA_VISIBLE_DEVICES shows."""
    if driver_version() // 1000 < RUNTIME // 1000:
        raise CUDARuntimeError(35)
    count = int(os.environ.get("HIPCT_STANDIN_DEVICES", "1"))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        # CUDA stops at the first number that is none.
        shown = [name.strip() for name in visible.split(",")]
        valid = [name.isdecimal() and int(name) < count for name in shown]
        count = (*valid, False).index(False)
    if count < 1:
        raise CUDARuntimeError(100)
    return count


def device_bytes() -> int:
    """Memory of each device, free before anything is allocated (``HIPCT_STANDIN_MEMORY``)."""
    return int(os.environ.get("HIPCT_STANDIN_MEMORY", str(8 << 30)))


def current_device() -> int:
    """Number of the device that this thread works on."""
    device_count()
    return _local.device


def current_stream() -> int:
    """Pointer of the stream that this thread gives its work to."""
    return _local.stream


def use_device(number: int) -> None:
    """Make a device that of this thread."""
    if not 0 <= number < device_count():
        raise CUDARuntimeError(101)
    _local.device = number
