"""The device that a run computes on, as its configuration asks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from hipct.acquisition.scan import Scan
from hipct.core.device import ON_THE_CPU, Device, device_budget, gpu_count, open_device
from hipct.core.errors import DeviceError, HipctError
from hipct.core.extras import require
from hipct.core.progress import Observer
from hipct.pipeline.config import Config

MORE_MEMORY = (
    "give more of it with --device-memory (compute.device_memory), free what others have taken, "
    f"{ON_THE_CPU}"
)
"""What to do where a device has no memory left for work that is cut as finely as it can be."""


@contextmanager
def run_device(config: Config, observer: Observer, remedy: str = MORE_MEMORY) -> Iterator[Device]:
    """The device of a configuration, held to its share of the memory for the time of a block.

    Where ``auto`` finds no GPU, the reason is said. What CUDA raises inside of the block becomes a
    sentence, with the ``remedy`` where memory has run out.

    Raises
    ------
    DeviceError, MissingExtra
        If a GPU is asked for and cannot be used, has less memory free than it should take, or
        fails.
    """
    device, reason = open_device(config.compute.backend)
    if reason is not None:
        observer.say(reason)
    if not device.on_gpu:
        yield device
        return
    with device.xp.cuda.Device(device.index):
        limit = device.xp.get_default_memory_pool().get_limit()
    device.set_budget(device_budget(device, config.compute.device_memory))
    try:
        with failures_told(device, remedy):
            yield device
    finally:
        # Whoever called may use the device for something else.
        with suppress(RuntimeError):  # of a device that has failed
            device.set_budget(limit)


@contextmanager
def failures_told(device: Device, remedy: str = MORE_MEMORY) -> Iterator[None]:
    """Turn what CUDA raises into a sentence, with a remedy where memory has run out.

    Raises
    ------
    DeviceError
        In place of CuPy's errors.
    """
    # A device that has failed does not tell its name any more.
    name = device.name
    try:
        yield
    except Exception as error:
        if not _of_cupy(error):
            raise
        if isinstance(error, MemoryError):
            what, advice = "ran out of memory", remedy
        else:
            what, advice = "failed", f"see what nvidia-smi says, {ON_THE_CPU}"
        raise DeviceError(f"{name} {what} ({str(error).rstrip('.')}); {advice}.") from error


def gpus_to_use(
    device: Device, wanted: int | None, scans: Sequence[Scan], observer: Observer
) -> int:
    """GPUs that a run shares its work between: those wanted, at most those that answer.

    One, and a sentence why, where the package that starts the workers is missing, or where another
    process cannot open the scans.
    """
    if not device.on_gpu:
        return 1
    count = min(gpu_count(), wanted or math.inf)
    if count > 1:
        try:
            require("distributed", "cluster", "Sharing the work between several GPUs")
            for scan in scans:
                scan.__reduce__()
        except HipctError as error:
            observer.say(f"{count} GPUs answer, and one is used. {error}")
            return 1
    return int(count)


def _of_cupy(error: Exception) -> bool:
    """Whether CuPy has raised an error: out of memory, CUDA's runtime, driver or libraries."""
    return type(error).__module__.partition(".")[0] in {"cupy", "cupy_backends"}
