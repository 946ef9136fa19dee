"""Filtered back-projection: the public function, and the plan behind it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from types import ModuleType
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.reconstruction.chunks import ranges
from hipct.reconstruction.direct import DirectEngine
from hipct.reconstruction.filters import Filter
from hipct.reconstruction.fourier import FourierEngine
from hipct.reconstruction.geometry import Acquisition, Geometry, Padding

Engine = Literal["fourier", "direct"]
ENGINES: tuple[Engine, ...] = get_args(Engine)


class Reconstructor:
    """Filtered back-projection of one geometry, planned once for any number of slices.

    Thread-safe: a call keeps all that it changes to itself. Each slice is computed by itself; its
    values do not depend, in any bit, on the other slices of a call or on the number of threads.

    Parameters
    ----------
    angles : array_like, shape (angles,)
        Radians, in any order, repeated or beyond a turn; see
        :func:`hipct.reconstruction.weights.angular_weights`.
    columns : int
        Width of the detector.
    axis, pixel_size_um, engine, filter, acquisition, padding, size, centre_px
        As in :func:`fbp`.
    xp : module, optional
        ``numpy`` (default) or ``cupy``: where arrays live and where it computes.

    Raises
    ------
    InputError
        If a value is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> angles = np.arange(180) * np.pi / 180
    >>> plan = Reconstructor(angles, 64)
    >>> disc = 2 * np.sqrt(np.maximum(20.0**2 - (np.arange(64) - 31.5) ** 2, 0))
    >>> volume = plan.reconstruct(np.tile(disc, (2, 180, 1)))
    >>> volume.shape, round(float(volume[0, 24:40, 24:40].mean()), 2)
    ((2, 64, 64), 1.0)
    """

    def __init__(
        self,
        angles: ArrayLike,
        columns: int,
        axis: float | None = None,
        *,
        pixel_size_um: float | None = None,
        engine: Engine = "fourier",
        filter: Filter = "ramp",
        acquisition: Acquisition = "full",
        padding: Padding = "edge",
        size: int | None = None,
        centre_px: tuple[float, float] = (0.0, 0.0),
        xp: Any = np,
    ) -> None:
        if engine not in ENGINES:
            raise InputError(f"The engine is {engine!r}; it has to be one of {', '.join(ENGINES)}.")
        self.geometry = Geometry.create(
            angles,
            columns,
            axis,
            acquisition=acquisition,
            filter=filter,
            padding=padding,
            pixel_size_um=pixel_size_um,
            size=size,
            centre_px=centre_px,
        )
        self._xp = xp
        kind = FourierEngine if engine == "fourier" else DirectEngine
        self._engine: FourierEngine | DirectEngine = kind(self.geometry, xp=xp)

    @property
    def size(self) -> int:
        """Pixels along each side of a slice."""
        return self.geometry.size

    @property
    def batch(self) -> int:
        """Slices that travel together; a call with a multiple of it is the fastest."""
        return self._engine.batch

    @property
    def unmeasured_radius_px(self) -> float:
        """Radius of the disc around the axis that no projection measured; 0 where there is none.

        Only a half-acquisition with its axis off the detector has one. Its voxels are interpolated
        from the inner edges of opposite projections and mean nothing.
        """
        return self.geometry.hole

    def memory_bytes(self, slices: int) -> int:
        """Peak bytes that :meth:`reconstruct` takes beside the sinograms and the slices.

        In the memory of the host, or of the device with ``xp=cupy``. For float32 sinograms; others
        are converted first, which takes another 4 bytes a sample.
        """
        if slices < 1:
            raise InputError(f"The number of slices is {slices}; give 1 or more.")
        return self._engine.memory_bytes(self._parts(slices)[0].stop)

    def reconstruct(self, sinograms: Array, out: Array | None = None) -> Array:
        """Reconstruct slices.

        Parameters
        ----------
        sinograms : array, shape (slices, angles, columns)
            Line integrals; float32, or converted to it.
        out : array, shape (slices, size, size), float32, optional
            Where to put the result.

        Returns
        -------
        array, shape (slices, size, size), float32
            Attenuation in 1/cm, or per pixel where the plan has no pixel size.

        Raises
        ------
        InputError
            If a shape or a dtype is wrong, a value is not finite, or the arrays live elsewhere
            than the plan.
        """
        xp = namespace(sinograms, out)
        sinograms = self._checked(xp, xp.asarray(sinograms))
        shape = (sinograms.shape[0], self.size, self.size)
        if out is None:
            out = xp.empty(shape, xp.float32)
        elif out.shape != shape or out.dtype != np.float32:
            raise InputError(
                f"The array for the result is {out.dtype} of the shape {out.shape}; it has to be "
                f"float32 of the shape {shape}."
            )
        elif xp is np and not out.flags.writeable:
            raise InputError("The array for the result is read-only; give one to write to.")
        for part in self._parts(shape[0]):
            self._engine.reconstruct(sinograms[part], out[part])
        return out

    def plane(
        self,
        sinograms: Array,
        origin: Sequence[float],
        row_step: Sequence[float],
        column_step: Sequence[float],
        shape: Sequence[int],
        *,
        first_row: int = 0,
    ) -> Array:
        """Reconstruct one plane of any tilt through the volume, without the volume.

        By direct back-projection, whatever the engine of the slices; only the sinograms that the
        plane meets are filtered. Between two slices it is interpolated linearly; within a slice
        every pixel has its own place.

        Parameters
        ----------
        sinograms : array, shape (slices, angles, columns)
            Those of the detector rows first_row, first_row + 1, ...; float32, or converted to it.
        origin : sequence of float
            Voxel (z, y, x) of the plane's first pixel: detector row, row and column of the slice.
        row_step, column_step : sequence of float
            Voxels (z, y, x) from a pixel to the next one below, and to the next one to the right;
            at most 64 along each axis.
        shape : sequence of int
            Rows and columns of the plane.
        first_row : int
            Detector row of the first sinogram.

        Returns
        -------
        array, shape (rows, columns), float32
            Attenuation, as of the slices. Pixels beyond the sinograms given, or further from the
            axis than the detector reaches, are 0.

        Raises
        ------
        InputError
            If the plane is none, a shape or a dtype is wrong, a value is not finite, or the arrays
            live elsewhere than the plan.
        """
        xp = namespace(sinograms)
        sinograms = self._checked(xp, xp.asarray(sinograms))
        return self._direct.plane(
            sinograms, origin, row_step, column_step, shape, first_row=first_row
        )

    @cached_property
    def _direct(self) -> DirectEngine:
        """The engine of planes, which keeps its plans from one to the next."""
        if isinstance(self._engine, DirectEngine):
            return self._engine
        return DirectEngine(self.geometry, xp=self._xp)

    def _parts(self, slices: int) -> list[slice]:
        """Slices that the engine takes in one call: on a device it groups them itself."""
        return ranges(slices, self.batch) if self._xp is np else [slice(0, slices)]

    def _checked(self, xp: ModuleType, sinograms: Array) -> Array:
        if xp is not self._xp:
            raise InputError(
                f"The sinograms are an array of {xp.__name__} and the plan is made for "
                f"{self._xp.__name__}; make it with xp={xp.__name__}."
            )
        expected = (self.geometry.angles.size, self.geometry.columns)
        if sinograms.ndim != 3 or sinograms.shape[1:] != expected or sinograms.shape[0] == 0:
            raise InputError(
                f"The sinograms have the shape {sinograms.shape}; it has to be (slices, angles, "
                f"columns) with {expected[0]} angles, {expected[1]} columns and at least 1 slice."
            )
        if sinograms.dtype.kind not in "fiu":
            raise InputError(
                f"The sinograms have the dtype {sinograms.dtype}; give real numbers, at best "
                "float32."
            )
        return sinograms.astype(np.float32, copy=False)


def fbp(
    sinograms: Array,
    angles: ArrayLike,
    axis: float | None = None,
    *,
    pixel_size_um: float | None = None,
    engine: Engine = "fourier",
    filter: Filter = "ramp",
    acquisition: Acquisition = "full",
    padding: Padding = "edge",
    size: int | None = None,
    centre_px: tuple[float, float] = (0.0, 0.0),
) -> Array:
    """Reconstruct slices from parallel-beam sinograms by filtered back-projection.

    A voxel at (x, y) from the rotation axis, x to the right (last index) and y down (middle index),
    projects at the angle a to the detector column ``axis + x cos a + y sin a``. The slice is
    centred on the axis, unless ``centre_px`` moves it. Its level is right within 1e-4 for both
    engines, every filter and padding, as long as the object is complete (inside the field of view).

    Voxels further from the axis than the detector reaches are 0.

    Parameters
    ----------
    sinograms : array, shape (slices, angles, columns)
        Line integrals, float32 (other real dtypes are converted); of NumPy or of CuPy, which
        decides where slices are computed.
    angles : array_like, shape (angles,)
        Radians, in any order, repeated or beyond a turn. Weights come from the gaps between them;
        where a wedge is missing the level stays right, and the wedge's streaks remain.
    axis : float, optional
        Rotation axis in columns, pixel centres at integers; (columns - 1) / 2 by default. It may
        lie outside of the detector in a half-acquisition.
    pixel_size_um : float, optional
        Effective pixel size; with it the result is in 1/cm, else per pixel.
    engine : {"fourier", "direct"}
        Gridding, O(N^2 log N), or direct back-projection, O(N^3).
    filter : {"ramp", "shepp-logan", "cosine", "hamming", "hann"}
        Ramp, or ramp times a window.
    acquisition : {"full", "half"}
        Half: the axis is near one edge and the angles cover 360 degrees; opposite projections are
        blended before filtering (:mod:`hipct.reconstruction.half`).
    padding : {"edge", "zero"}
        What stands beside the rows while they are filtered: their edge values (for objects wider
        than the field), or nothing. In a half-acquisition it is for the outer side.
    size : int, optional
        Pixels along each side of the slice. By default the number of columns; in a
        half-acquisition the extended width 2 max(axis, columns - 1 - axis) + 1, rounded up.
    centre_px : tuple of float, optional
        Where the middle of the slice lies, (y, x) in pixels from the axis: of a sample that has
        moved by (y, x) it makes the slice that would be there without. Exact for any fraction of
        a pixel in the Fourier engine.

    Returns
    -------
    array, shape (slices, size, size), float32

    Raises
    ------
    InputError
        If a value, a shape or a dtype is wrong; if a full scan's axis is off the detector; if a
        half-acquisition leaves a gap of more than 90 degrees in its turn.

    References
    ----------
    Kak and Slaney, *Principles of Computerized Tomographic Imaging* (1988), section 3.3; for the
    gridding, O'Sullivan, IEEE Trans. Med. Imaging 4 (1985) 200.
    """
    xp = namespace(sinograms)
    sinograms = xp.asarray(sinograms)
    if sinograms.ndim != 3:
        raise InputError(
            f"The sinograms have the shape {sinograms.shape}; it has to be (slices, angles, "
            "columns)."
        )
    plan = Reconstructor(
        angles,
        sinograms.shape[2],
        axis,
        pixel_size_um=pixel_size_um,
        engine=engine,
        filter=filter,
        acquisition=acquisition,
        padding=padding,
        size=size,
        centre_px=centre_px,
        xp=xp,
    )
    return plan.reconstruct(sinograms)
