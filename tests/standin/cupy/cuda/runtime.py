"""The part of the CUDA runtime that a program asks about its devices."""

from __future__ import annotations

from typing import Any

from cupy import _memory
from cupy._devices import (
    RUNTIME,
    CUDARuntimeError,
    current_device,
    device_bytes,
    device_count,
    driver_version,
    use_device,
)

hostAllocPortable = 1  # noqa: N816


def getDeviceCount() -> int:  # noqa: N802
    """Number of devices; raises where there are none."""
    return device_count()


def getDevice() -> int:  # noqa: N802
    """The current device."""
    return current_device()


def setDevice(device: int) -> None:  # noqa: N802
    """Choose the current device."""
    use_device(device)


def driverGetVersion() -> int:  # noqa: N802
    """Newest runtime that the driver knows, 12080 for 12.8; 0 without a driver."""
    return driver_version()


def runtimeGetVersion() -> int:  # noqa: N802
    """Version of the runtime."""
    return RUNTIME


def memGetInfo() -> tuple[int, int]:  # noqa: N802
    """Bytes that are free on the current device, and all bytes."""
    return device_bytes() - _memory.pool.total_bytes(), device_bytes()


def deviceSynchronize() -> None:  # noqa: N802
    """Wait for all work of the current device."""
    from cupy.cuda.stream import finish_all

    finish_all()


def getDeviceProperties(device: int) -> dict[str, Any]:  # noqa: N802
    """What the device is."""
    if not 0 <= device < device_count():
        raise CUDARuntimeError(101)
    return {
        "name": b"Stand-in",
        "totalGlobalMem": device_bytes(),
        "major": 8,
        "minor": 0,
        "multiProcessorCount": 2,
        "warpSize": 32,
        "maxThreadsPerBlock": 1024,
        "sharedMemPerBlock": 49152,
        "regsPerBlock": 65536,
        "l2CacheSize": 4 << 20,
        "clockRate": 1_000_000,
        "memoryClockRate": 1_000_000,
        "memoryBusWidth": 64,
    }


__all__ = [
    "CUDARuntimeError",
    "deviceSynchronize",
    "driverGetVersion",
    "getDevice",
    "getDeviceCount",
    "getDeviceProperties",
    "hostAllocPortable",
    "memGetInfo",
    "runtimeGetVersion",
    "setDevice",
]
