"""Where the arrays of a run live: the CPU, or one GPU with its memory and its streams.

On a GPU every lane of the run (reading, preparing, reconstructing, handing over) has a stream of
its own, so that copies of one piece pass beside the computation of another. A piece of work ends
with its stream: what it has made may be used by any lane, and its memory by none too early.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hipct.core import kernels
from hipct.core.arrays import Array
from hipct.core.errors import DeviceError, HipctError
from hipct.core.extras import require
from hipct.core.memory import format_bytes
from hipct.core.pinned import PinnedMemory

Backend = Literal["auto", "numpy", "cupy"]

SHARE_OF_FREE_MEMORY = 0.8
"""Device memory that a run takes of what is free, unless it is told."""

ON_THE_CPU = "or compute on the CPU with --backend numpy (compute.backend=numpy)"

_WHEEL = re.compile(r"cupy(-cuda\d+x|-rocm-\d+-\d+)?")
_INSUFFICIENT_DRIVER, _NO_DEVICE = 35, 100
_OLDEST_CUPY, _OLDEST_CUDA = 14, 12


class Device:
    """The CPU, or one GPU.

    Made by :func:`open_device`.

    Attributes
    ----------
    xp : module
        ``numpy`` or ``cupy``.
    index : int
        Number of the GPU among those that this process sees; 0 on the CPU.
    budget_bytes : int
        What arrays and work spaces may take of the device's memory; 0 on the CPU, which has none
        of its own.
    """

    def __init__(self, xp: ModuleType = np, index: int = 0) -> None:
        self.xp, self.index, self.budget_bytes = xp, index, 0
        self._streams: dict[str, Any] = {}
        self._pinned = PinnedMemory(xp)
        self._lock = threading.Lock()
        self._peak = 0

    @property
    def on_gpu(self) -> bool:
        """Whether arrays live on a GPU."""
        return self.xp is not np

    @property
    def name(self) -> str:
        """What the device calls itself."""
        if not self.on_gpu:
            return "CPU"
        name: bytes = self.xp.cuda.runtime.getDeviceProperties(self.index)["name"]
        return name.decode()

    @contextmanager
    def lane(self, name: str) -> Iterator[None]:
        """Work of one lane: on this device, on the lane's stream, finished when the block ends."""
        if not self.on_gpu:
            yield
            return
        cuda = self.xp.cuda
        with cuda.Device(self.index):
            with self._lock:
                if name not in self._streams:
                    self._streams[name] = cuda.Stream(non_blocking=True)
                stream = self._streams[name]
            with stream:
                try:
                    yield
                finally:
                    stream.synchronize()

    def host_array(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array in host memory that the device copies from and to at full speed (pinned)."""
        if not self.on_gpu:
            return np.empty(shape, dtype)
        # Without a device of their own, CUDA's calls would open a context on the first GPU.
        with self.xp.cuda.Device(self.index):
            return self._pinned.array(shape, dtype)

    def upload(self, array: NDArray[Any]) -> Array:
        """A copy of a host array on the device; the array itself on the CPU."""
        if not self.on_gpu:
            return array
        copy = self.xp.empty(array.shape, array.dtype)
        copy.set(np.ascontiguousarray(array))
        return copy

    def download(
        self, array: Array, out: NDArray[Any] | None = None, *, wait: bool = True
    ) -> NDArray[Any]:
        """A copy of a device array in host memory, in ``out`` if given (C-contiguous).

        Without waiting it is there after :meth:`finish`, or when the lane ends.
        """
        if self.on_gpu:
            contiguous = self.xp.ascontiguousarray(array)
            copy: NDArray[Any] = contiguous.get(out=out, blocking=wait)
            return copy
        if out is None:
            return np.asarray(array)
        out[...] = array
        return out

    def finish(self) -> None:
        """Wait for what the present lane has begun."""
        if self.on_gpu:
            self.xp.cuda.get_current_stream().synchronize()

    def free_bytes(self) -> int:
        """Memory of the device that nobody has taken (0 on the CPU, which has none of its own)."""
        if not self.on_gpu:
            return 0
        with self.xp.cuda.Device(self.index):
            free, _ = self.xp.cuda.runtime.memGetInfo()
            return int(free) + int(self.xp.get_default_memory_pool().free_bytes())

    def set_budget(self, size: int) -> None:
        """Hold the arrays of this process on the device to ``size`` bytes."""
        if self.on_gpu:
            self.budget_bytes = size
            with self.xp.cuda.Device(self.index):
                self.xp.get_default_memory_pool().set_limit(size=size)

    @property
    def peak_bytes(self) -> int:
        """Most memory of the device that arrays and work spaces have taken so far."""
        if self.on_gpu:
            with self.xp.cuda.Device(self.index):
                taken = int(self.xp.get_default_memory_pool().total_bytes())
            self._peak = max(self._peak, taken)
        return self._peak

    def give_back(self) -> None:
        """Let go of memory that is kept for reuse, on the device and pinned on the host."""
        if self.on_gpu and self.peak_bytes >= 0:
            with self.xp.cuda.Device(self.index):
                # Of transforms whose plans nobody holds CuPy keeps 16 a thread, with work areas.
                self.xp.fft.config.clear_plan_cache()
                self.xp.get_default_memory_pool().free_all_blocks()
                self._pinned.free()

    def halving(
        self, work: Callable[[slice], None], items: slice, most: int, what: str
    ) -> tuple[int, str | None]:
        """Do work on ``items``, at most ``most`` at a time, and fewer where memory runs out.

        Parameters
        ----------
        work : callable
            Takes a run of the items; what it has begun when the memory runs out it does again.
        items : slice
            The items.
        most : int
            Items that may be done at a time.
        what : str
            Name of the items, in the plural.

        Returns
        -------
        most : int
            Items that fitted at a time.
        note : str or None
            One sentence, where that is fewer than at the beginning.

        Raises
        ------
        DeviceError
            If one item alone does not fit.
        """
        first, before = items.start, most
        while first < items.stop:
            part = slice(first, min(first + most, items.stop))
            if self._fits(work, part):
                first = part.stop
                continue
            size = part.stop - part.start
            if size == 1:
                raise DeviceError(
                    f"{self.name} ran out of memory with one of the {what} alone; give the run "
                    f"more of it with --device-memory (compute.device_memory), {ON_THE_CPU}."
                )
            most = size // 2
        if most == before:
            return most, None
        return most, (
            f"{self.name} ran out of memory with {before} {what} at a time; the run goes on with "
            f"{most}."
        )

    def _fits(self, work: Callable[[slice], None], part: slice) -> bool:
        try:
            work(part)
        except MemoryError:
            if not self.on_gpu:
                raise
        else:
            return True
        # Only here has the exception let go of the arrays of the work that failed.
        self.give_back()
        return False


HOST = Device()
"""The CPU."""


def open_device(backend: Backend = "auto", index: int = 0) -> tuple[Device, str | None]:
    """The device of a backend.

    Parameters
    ----------
    backend : {"auto", "numpy", "cupy"}
        ``auto`` takes a GPU where one answers.
    index : int
        Which of the GPUs that this process sees.

    Returns
    -------
    device : Device
    reason : str or None
        Why ``auto`` has taken the CPU, as a sentence.

    Raises
    ------
    DeviceError, MissingExtra
        For ``cupy``, if no GPU can be used: what is missing, and what to install or set.
    """
    if backend == "numpy":
        return HOST, None
    try:
        return _open_gpu(index), None
    except HipctError as error:
        if backend == "cupy":
            raise
        return HOST, f"Computing on the CPU. {str(error).replace(f', {ON_THE_CPU}', '')}"


def gpu_count() -> int:
    """GPUs that this process can use.

    Raises
    ------
    DeviceError, MissingExtra
        If there is none, with the reason.
    """
    return _count(_import_cupy())


def device_budget(device: Device, wanted: int | None) -> int:
    """Device memory in bytes that a run may take: as wanted, else 80 % of what is free.

    Raises
    ------
    DeviceError
        If more is wanted than is free.
    """
    free = device.free_bytes()
    if wanted is None:
        return int(SHARE_OF_FREE_MEMORY * free)
    if wanted > free:
        raise DeviceError(
            f"--device-memory (compute.device_memory) is {format_bytes(wanted)}, and {device.name} "
            f"has {format_bytes(free)} free; give less, or free some of it."
        )
    return wanted


def _open_gpu(index: int) -> Device:
    cupy = _import_cupy()
    count = _count(cupy)
    if index >= count:
        raise DeviceError(f"GPU {index} was asked for; this process sees {count}, from number 0.")
    try:
        with cupy.cuda.Device(index):
            # What is missing, or too old for this device, is told before anything is read.
            kernels.load(cupy, "reduce", VOXEL="unsigned short")
            _use_arrays(cupy)
    except cupy.cuda.runtime.CUDARuntimeError as error:
        _refuse(cupy.cuda.runtime, error)
    return Device(cupy, index)


def _use_arrays(cupy: ModuleType) -> None:
    """CuPy's own kernels need CUDA's headers, which ours do without."""
    try:
        cupy.isfinite(cupy.zeros(1, np.float32))
    except cupy.cuda.runtime.CUDARuntimeError:
        raise
    except Exception as error:
        raise DeviceError(
            f"CuPy cannot compute on this device ({kernels.first_complaint(error)}); install the "
            f"CUDA libraries and headers of its version (pip install 'hipct[gpu]'), {ON_THE_CPU}."
        ) from error


def _import_cupy() -> ModuleType:
    wheels = sorted(
        {
            name
            for each in importlib.metadata.distributions()
            if (name := (each.metadata["Name"] or "").lower()) and _WHEEL.fullmatch(name)
        }
    )
    if len(wheels) > 1:
        raise DeviceError(
            f"{len(wheels)} builds of CuPy are installed ({', '.join(wheels)}), and they overwrite "
            f"one another; remove all with 'pip uninstall {' '.join(wheels)}' and install one "
            f"with pip install 'hipct[gpu]', {ON_THE_CPU}."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cupy = require("cupy", "gpu", "Computing on a GPU")
    # Older ones have NumPy's former rules for types, and refuse memory before they look for it
    # among what they keep.
    if int(cupy.__version__.partition(".")[0]) < _OLDEST_CUPY:
        raise DeviceError(
            f"CuPy {cupy.__version__} is installed, and hipct needs {_OLDEST_CUPY} or newer; "
            f"update it with pip install 'hipct[gpu]', {ON_THE_CPU}."
        )
    return cupy


def _count(cupy: ModuleType) -> int:
    runtime = cupy.cuda.runtime
    try:
        count = int(runtime.getDeviceCount())
    except runtime.CUDARuntimeError as error:
        _refuse(runtime, error)
    if count == 0:
        raise DeviceError(_no_device())
    return count


def _refuse(runtime: Any, error: Exception) -> NoReturn:
    driver, needed = int(runtime.driverGetVersion()), int(runtime.runtimeGetVersion())
    status = getattr(error, "status", None)
    if driver == 0:
        reason = (
            "No NVIDIA driver answers on this machine; install one (in a container: start it with "
            f"its GPUs, e.g. --gpus all), {ON_THE_CPU}."
        )
    elif status == _INSUFFICIENT_DRIVER:
        older = "put a CuPy for the older CUDA in its place (pip install 'hipct[gpu]'), "
        older = older if driver // 1000 >= _OLDEST_CUDA else ""
        reason = (
            f"The NVIDIA driver supports CUDA {_version(driver)}, and CuPy was built for CUDA "
            f"{_version(needed)}; update the driver, {older}{ON_THE_CPU}."
        )
    elif status == _NO_DEVICE:
        reason = _no_device()
    else:
        reason = f"The GPU cannot be used ({error}); see what nvidia-smi says, {ON_THE_CPU}."
    raise DeviceError(reason) from error


def _no_device() -> str:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    hidden = "" if visible is None else f" (CUDA_VISIBLE_DEVICES is {visible!r})"
    return (
        f"The NVIDIA driver answers and shows no GPU{hidden}; ask the batch system for one (Slurm: "
        f"--gres=gpu:1), {ON_THE_CPU}."
    )


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
