"""Streams and events: work is done at once, but copies that do not block end only when waited for.

Until then the host's side of a copy down holds garbage, and the host's side of a copy up from
pinned memory must not change: what a missing synchronisation would spoil now and then on a device
is spoilt always, or raises.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from cupy import _devices
from cupy._array import ndarray, transfers
from cupy._devices import current_device
from cupy._memory import garbage
from cupy.cuda.pinned_memory import is_pinned


class _Base:
    """Work in order."""

    def __init__(self, *, null: bool = False, non_blocking: bool = False):
        # The null stream is there without a device too, as CuPy can be imported without one.
        self.device_id = 0 if null else current_device()
        self.is_non_blocking = non_blocking
        self.ptr = 0 if null else id(self)
        self._pending: list[Callable[[], None]] = []
        self._before: list[Any] = []
        with _lock:
            _streams.add(self)

    @property
    def done(self) -> bool:
        """Whether all of its work is done."""
        return not self._pending

    def synchronize(self) -> None:
        """Wait for all of its work; the null stream's is that of all streams that block."""
        transfers._wait()
        self._finish()

    def _finish(self) -> None:
        for stream in self._waited_for():
            with _lock:
                pending, stream._pending = stream._pending, []
            for work in pending:
                work()

    def _waited_for(self) -> list[_Base]:
        if self.ptr:
            return [self]
        return [stream for stream in _streams if not stream.is_non_blocking]

    def wait_event(self, event: Event) -> None:
        """Let later work start after what the event marks."""
        if not event._recorded:
            raise ValueError("the event was never recorded")
        self._pending.append(event._finish)

    def record(self, event: Any = None) -> Event:
        """Mark what was given to the stream so far."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def use(self) -> _Base:
        """Make it the current one."""
        self._make_current()
        return self

    def __enter__(self) -> _Base:
        self._before.append(get_current_stream())
        return self.use()

    def __exit__(self, *args: object) -> None:
        self._before.pop()._make_current()

    def _make_current(self) -> None:
        # The pool keeps what a stream has freed by the stream's pointer.
        _current.stream, _devices._local.stream = self, self.ptr


_lock = threading.RLock()
_streams: weakref.WeakSet[_Base] = weakref.WeakSet()
_current = threading.local()


class Stream(_Base):
    """A stream of work."""

    null: Stream

    def __init__(
        self,
        null: bool = False,
        non_blocking: bool = False,
        ptds: bool = False,
        priority: Any = None,
    ):
        super().__init__(null=null, non_blocking=non_blocking)


class ExternalStream(_Base):
    """A stream of somebody else."""

    def __init__(self, ptr: int, device_id: int = -1):
        super().__init__(null=ptr == 0)


class Event:
    """A mark in a stream."""

    def __init__(
        self, block: bool = False, disable_timing: bool = False, interprocess: bool = False
    ):
        self._timed = not disable_timing
        self._recorded = False
        self._marked: list[tuple[_Base, list[Callable[[], None]]]] = []
        self._time = 0.0

    def record(self, stream: Any = None) -> None:
        """Mark what was given to the stream so far."""
        stream = get_current_stream() if stream is None else stream
        self._recorded, self._time = True, time.perf_counter()
        self._marked = [(each, list(each._pending)) for each in stream._waited_for()]

    @property
    def done(self) -> bool:
        """Whether what it marks is done."""
        return not any(
            work in stream._pending for stream, marked in self._marked for work in marked
        )

    def synchronize(self) -> None:
        """Wait for what it marks."""
        transfers._wait()
        self._finish()

    def _finish(self) -> None:
        for stream, marked in self._marked:
            for work in marked:
                with _lock:
                    waiting = work in stream._pending
                    if waiting:
                        stream._pending.remove(work)
                if waiting:
                    work()


def get_current_stream(device_id: int = -1) -> _Base:
    """The stream that this thread gives its work to."""
    return getattr(_current, "stream", Stream.null)


def get_elapsed_time(start_event: Event, end_event: Event) -> float:
    """Milliseconds from one event to the other."""
    for event in (start_event, end_event):
        if not (event._recorded and event._timed):
            raise RuntimeError("cudaErrorInvalidResourceHandle: invalid resource handle")
    return 1e3 * (end_event._time - start_event._time)


def finish_all() -> None:
    """Wait for all streams."""
    transfers._wait()
    for stream in list(_streams):
        stream._finish()


def fetch(array: ndarray, stream: Any, order: str, out: Any, blocking: bool) -> np.ndarray:
    """Copy to the host: at once, or when the stream is waited for."""
    stream = get_current_stream() if stream is None else stream
    values = array._host
    if out is None:
        out = np.empty(values.shape, values.dtype, order="F" if order == "F" else "C")
    elif not isinstance(out, np.ndarray):
        raise TypeError("Only numpy.ndarray can be obtained from cupy.ndarray")
    elif out.dtype != values.dtype or out.shape != values.shape:
        raise ValueError(f"{values.dtype} {values.shape} does not fit {out.dtype} {out.shape}")
    elif not (out.flags.c_contiguous or out.flags.f_contiguous):
        raise RuntimeError("`out` cannot be specified when copying to non-contiguous ndarray")
    transfers._host(values.nbytes)
    if blocking:
        stream._finish()
        out[...] = values
        return out
    kept = values.copy()
    garbage(out)
    stream._pending.append(lambda: out.__setitem__(Ellipsis, kept))
    return out


def send(array: ndarray, values: Any, stream: Any) -> None:
    """Copy to the device; what lies in pinned memory must stay as it is until then."""
    if not isinstance(values, np.ndarray):
        raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
    if array.dtype != values.dtype:
        raise TypeError(f"{values.dtype} array cannot be set to {array.dtype} array")
    if array.shape != values.shape:
        raise ValueError(f"Shape mismatch. Old shape: {array.shape}, new shape: {values.shape}")
    stream = get_current_stream() if stream is None else stream
    transfers._device(values.nbytes)
    array._host[...] = values
    watch(values, stream)


def watch(values: np.ndarray, stream: Any = None) -> None:
    """Hold who writes to pinned memory before the copy from it is known to have ended."""
    if is_pinned(values):
        kept = values.copy()

        def check() -> None:
            if kept.tobytes() != values.tobytes():
                raise RuntimeError("pinned memory was written to before its copy up had ended")

        (stream or get_current_stream())._pending.append(check)


Stream.null = Stream(null=True)


__all__ = ["Event", "ExternalStream", "Stream", "get_current_stream", "get_elapsed_time"]
