"""The clock of a device, and what it is that is measured."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from benchmarks.common import versions
from hipct.core.device import Device

ROUND_S = 0.02
"""A round makes as many calls as fill this time, so that the host's share of a launch vanishes."""

MOST_CALLS = 100
Clock = Callable[[Callable[[], object]], float]


def event_clock(xp: ModuleType) -> Clock:
    """Seconds that a call keeps the device, by CUDA events around as many calls as fill a round."""
    known: dict[Callable[[], object], int] = {}

    def seconds(call: Callable[[], object], calls: int) -> float:
        start, end = xp.cuda.Event(), xp.cuda.Event()
        start.record()
        for _ in range(calls):
            call()
        end.record()
        end.synchronize()
        return max(float(xp.cuda.get_elapsed_time(start, end)) / 1e3 / calls, 1e-9)

    def clock(call: Callable[[], object]) -> float:
        if call not in known:
            once = seconds(call, 1)
            known[call] = min(MOST_CALLS, math.ceil(ROUND_S / once))
            if known[call] == 1:
                return once
        return seconds(call, known[call])

    return clock


def device_facts(device: Device) -> dict[str, str]:
    """Date, card, driver, and what drives it."""
    xp, runtime = device.xp, device.xp.cuda.runtime
    total = runtime.getDeviceProperties(device.index)["totalGlobalMem"]
    capability = xp.cuda.Device(device.index).compute_capability
    driver = Path("/proc/driver/nvidia/version")
    found = re.search(r"\s(\d{3,}\.[\d.]+)\s", driver.read_text()) if driver.exists() else None
    newest = _cuda(runtime.driverGetVersion())
    return {
        "date": datetime.date.today().isoformat(),
        "card": f"{device.name}, {total / 2**30:.0f} GiB, compute capability {capability}",
        "driver": f"{found[1] if found else 'unknown'}, for CUDA {newest}",
        "CUDA runtime": _cuda(runtime.runtimeGetVersion()),
        "CuPy": str(xp.__version__),
        **versions(["cufinufft", "astra-toolbox"]),
    }


def _cuda(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
