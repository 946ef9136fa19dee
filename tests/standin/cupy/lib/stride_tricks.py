"""Windows on arrays."""

from numpy.lib.stride_tricks import sliding_window_view as _windows

from cupy._functions import checked

sliding_window_view = checked(
    "sliding_window_view(x, window_shape, axis=None, *, subok=False, writeable=False)", _windows
)


__all__ = ["sliding_window_view"]
