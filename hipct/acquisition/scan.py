"""What a scan is: its geometry (:class:`ScanInfo`) and its frames (:class:`Scan`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.scan_info import Acquisition, Kind, ScanInfo
from hipct.core.errors import InputError

__all__ = ["Acquisition", "FrameKind", "Kind", "Scan", "ScanInfo"]

FrameKind = Literal["projections", "flats", "darks", "returns"]


class Scan(ABC):
    """Frames of one scan, read where they lie. A context manager; reads may come from threads.

    Attributes
    ----------
    info : ScanInfo
        Geometry and bookkeeping.
    row_chunk, angle_chunk : int
        Reads aligned to multiples of these decode nothing that was not asked for.
    """

    info: ScanInfo
    row_chunk: int = 1
    angle_chunk: int = 1
    opened_by: tuple[Callable[..., Scan], dict[str, Any]] | None = None
    """How to open it again in another process: a function and its arguments."""

    def __reduce__(self) -> tuple[Any, ...]:
        if self.opened_by is None:
            raise InputError(
                f"{self.info.where} lives in this process alone; several processes can only share "
                "a scan that was opened from files (hipct.open_scan)."
            )
        return _open_again, (*self.opened_by, self.info)

    def work_bytes(self, angles: int, rows: int) -> int:
        """Bytes that reading a block takes beside it: nothing, where frames lie as they are."""
        del angles, rows
        return 0

    def read_projections(
        self, angles: slice, rows: slice, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Projections as stored.

        Parameters
        ----------
        angles, rows : slice
            Contiguous ranges inside the scan, step 1.
        out : numpy.ndarray, optional
            Where to put them: (angles, rows, columns), the scan's dtype, C-contiguous.

        Returns
        -------
        numpy.ndarray
            (angles, rows, columns), ``info.dtype``.

        Raises
        ------
        InputError
            If a range lies outside the scan, or ``out`` does not fit.
        FormatError
            If the file cannot be read there.
        """
        first, last = _range("angles", angles, self.info.projections)
        return self._read("projections", first, last, rows, out)

    def read_flats(self, rows: slice) -> NDArray[Any]:
        """Flats as stored: (flats, rows, columns), possibly 0 of them."""
        return self._read("flats", 0, self.info.flats, rows, None)

    def read_darks(self, rows: slice) -> NDArray[Any]:
        """Darks as stored: (darks, rows, columns), possibly 0 of them."""
        return self._read("darks", 0, self.info.darks, rows, None)

    def read_returns(self, rows: slice) -> NDArray[Any]:
        """Views taken again at the end, as stored: (returns, rows, columns), possibly 0 of them."""
        return self._read("returns", 0, self.info.returns, rows, None)

    def read_frames(self, kind: FrameKind, frames: slice) -> NDArray[Any]:
        """Whole frames of one kind: (frames, rows, columns)."""
        count: int = getattr(self.info, kind)
        first, last = _range(kind, frames, count)
        return self._read(kind, first, last, slice(None), None)

    def override(self, **values: Any) -> Self:
        """Replace values of ``info`` (see :meth:`ScanInfo.with_overrides`); returns the scan."""
        self.info = self.info.with_overrides(**values)
        return self

    @abstractmethod
    def _read_into(self, kind: FrameKind, frames: slice, rows: slice, out: NDArray[Any]) -> None:
        """Fill ``out`` (C-contiguous, native dtype); both slices have a start and a stop inside."""

    def close(self) -> None:  # noqa: B027 - a scan without open files has nothing to close
        """Close the files."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _read(
        self, kind: FrameKind, first: int, last: int, rows: slice, out: NDArray[Any] | None
    ) -> NDArray[Any]:
        top, bottom = _range("rows", rows, self.info.rows)
        shape = (last - first, bottom - top, self.info.columns)
        if out is None:
            out = np.empty(shape, self.info.dtype)
        elif out.shape != shape or out.dtype != self.info.dtype or not out.flags.c_contiguous:
            raise InputError(
                f"out has the shape {out.shape} and the dtype {out.dtype}; it has to be a "
                f"C-contiguous array of shape {shape} and dtype {self.info.dtype}."
            )
        if out.size:
            self._read_into(kind, slice(first, last), slice(top, bottom), out)
        return out


def _open_again(opener: Callable[..., Scan], arguments: dict[str, Any], info: ScanInfo) -> Scan:
    scan = opener(**arguments)
    scan.info = info
    return scan


def _range(name: str, wanted: slice, count: int) -> tuple[int, int]:
    first = 0 if wanted.start is None else int(wanted.start)
    last = count if wanted.stop is None else int(wanted.stop)
    if wanted.step not in (None, 1) or not 0 <= first <= last <= count:
        raise InputError(
            f"The range {first}:{last} (step {wanted.step or 1}) of {name} is not one inside "
            f"0:{count} with step 1."
        )
    return first, last
