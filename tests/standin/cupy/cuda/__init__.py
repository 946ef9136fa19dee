"""Devices, streams, events and memory of the stand-in."""

from __future__ import annotations

from cupy.cuda import compiler, device, memory, pinned_memory, runtime, stream
from cupy.cuda.device import Device
from cupy.cuda.memory import MemoryPool
from cupy.cuda.pinned_memory import (
    PinnedMemory,
    PinnedMemoryPointer,
    PinnedMemoryPool,
    alloc_pinned_memory,
)
from cupy.cuda.stream import (
    Event,
    ExternalStream,
    Stream,
    get_current_stream,
    get_elapsed_time,
)


def is_available() -> bool:
    """Whether a device answers."""
    try:
        return runtime.getDeviceCount() > 0
    except runtime.CUDARuntimeError as error:
        if error.status not in (35, 100):
            raise
        return False


__all__ = [
    "Device", "Event", "ExternalStream", "MemoryPool", "PinnedMemory", "PinnedMemoryPointer",
    "PinnedMemoryPool", "Stream", "alloc_pinned_memory", "compiler", "device",
    "get_current_stream", "get_elapsed_time", "is_available", "memory", "pinned_memory",
    "runtime", "stream",
]  # fmt: skip
