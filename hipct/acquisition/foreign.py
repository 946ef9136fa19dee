"""Files that others wrote: whatever a parser raises on them becomes one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hipct.core.errors import FormatError, HipctError, InputError


@contextmanager
def reading(path: Path | str, what: str) -> Iterator[None]:
    """Turn any error of a file parser into a :class:`FormatError` that names the file.

    Damaged files make h5py, tifffile and zarr raise nearly every kind of built-in exception;
    inside this block all of them mean the same.

    Parameters
    ----------
    path : Path or str
        The file.
    what : str
        What it was read as, e.g. ``"HDF5"``.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{error.filename or path} does not exist; check the path.") from error
    except PermissionError as error:
        raise InputError(
            f"{error.filename or path} may not be read by this user; check its permissions."
        ) from error
    except HipctError:
        raise
    except Exception as error:
        detail = " ".join(str(error).split())[:200] or type(error).__name__
        raise FormatError(
            f"{path} could not be read as {what}: it is damaged or truncated ({detail}); "
            "copy it again from its source."
        ) from error
