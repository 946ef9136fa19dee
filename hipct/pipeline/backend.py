"""The device that a run computes on, as its configuration asks."""

from __future__ import annotations

from hipct.core.device import Device, device_budget, open_device
from hipct.core.progress import Observer
from hipct.pipeline.config import Config


def run_device(config: Config, observer: Observer, index: int = 0) -> Device:
    """Open the device of a configuration and hold it to its share of the memory.

    Where ``auto`` finds no GPU, the reason is said once.

    Raises
    ------
    DeviceError, MissingExtra
        If a GPU is asked for and cannot be used, or has less memory free than it should take.
    """
    device, reason = open_device(config.compute.backend, index)
    if reason is not None:
        observer.say(reason)
    if device.on_gpu:
        device.set_budget(device_budget(device, config.compute.device_memory))
    return device
