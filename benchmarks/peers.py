"""Filtered back-projection by other packages, in the conventions of hipct.

Every function takes ``(sinograms, angles, axis)`` as :func:`hipct.fbp` does and returns
``(slices, n, n)`` float32 per pixel, with ``n`` the number of columns and the grid centred on the
axis: x to the right, y down, ``column = axis + x cos(a) + y sin(a)``. A full scan with the plain
ramp filter and zero padding is meant, which is what all of them can do.

What a package does differently inside stays as it is (algotom scales by ``1/(angles - 1)``, the
direct codes interpolate linearly); only axis, orientation and angles are brought to ours. Where
a package has no option for that, the rows are moved by a phase ramp, which is exact for
band-limited data.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Peer = Callable[[NDArray[np.floating], NDArray[np.floating], float | None], Floats]


class PeerMissing(ImportError):
    """A peer cannot be used here; the message says why and what to install."""


def nabu_fbp(
    sinograms: NDArray[np.floating], angles: NDArray[np.floating], axis: float | None = None
) -> Floats:
    """nabu: its CPU ramp filter and its OpenCL back-projection (on pocl where there is no GPU).

    nabu's OpenCL filter would need pyvkfft, which has to be compiled; the two filters agree to
    6e-7 and the filter takes under 1 % of the time.
    """
    filtering = _require("nabu.reconstruction.filtering", "nabu")
    stack, angles, axis = _checked(sinograms, angles, axis)
    shape = stack.shape[1:]
    row_filter = filtering.SinoFilter(shape)
    projector = _nabu_projector(shape, angles=-angles, rot_center=axis)
    # `fbp` returns a view of one buffer that the next slice overwrites.
    return np.stack([projector.fbp(row_filter(rows)).copy() for rows in stack])


def nabu_half(
    angles: NDArray[np.floating],
    columns: int,
    axis: float,
    *,
    size: int,
    padding: Literal["edges", "zeros"] = "edges",
) -> Callable[[NDArray[np.floating]], Floats]:
    """Half-acquisition of nabu, planned: one sinogram (angles, columns) to a slice (size, size).

    As its pipeline does it: rows are filtered as they are, their edge values or zeros beside them,
    then weighted by a ramp over the columns that both half turns see, and back-projected over the
    whole turn. Its CPU ramp filter, its OpenCL back-projection (as :func:`nabu_fbp`).
    """
    filtering = _require("nabu.reconstruction.filtering", "nabu")
    shape = len(angles), columns
    row_filter = filtering.SinoFilter(shape, padding_mode=padding)
    projector = _nabu_projector(
        shape, angles=-np.asarray(angles), rot_center=axis, slice_shape=size, halftomo=True
    )

    def slice_of(sinogram: NDArray[np.floating]) -> Floats:
        rows = np.ascontiguousarray(sinogram, np.float32)
        image: Floats = projector.fbp(row_filter(rows)).copy()
        return image

    return slice_of


def nabu_stitched(
    angles: NDArray[np.floating], columns: int, axis: float, *, size: int
) -> Callable[[NDArray[np.floating]], Floats]:
    """Sinogram builder of nabu: opposite rows joined into one over half a turn, then its FBP.

    The joint lies at a whole or half pixel, so that the axis is rounded to that. Angles have to
    ascend; rows of the second half turn are interpolated to where their opposites are, and where
    their number is odd the last is left out, as it has none.
    """
    building = _require("nabu.reconstruction.sinogram", "nabu")
    filtering = _require("nabu.reconstruction.filtering", "nabu")
    count = len(angles) // 2 * 2
    first = np.asarray(angles[: count // 2])
    builder = building.SinoBuilder(
        sinos_shape=(1, count, columns),
        rot_center=axis,
        halftomo=True,
        interpolate=True,
        angles=np.asarray(angles[:count]),
    )
    # Its own rows are an even number of columns wide, about their middle.
    shape = len(first), builder.extended_sino_width // 2 * 2
    row_filter = filtering.SinoFilter(shape, padding_mode="edges")
    projector = _nabu_projector(
        shape, angles=-first, rot_center=(shape[1] - 1) / 2, slice_shape=size
    )

    def slice_of(sinogram: NDArray[np.floating]) -> Floats:
        rows = builder.convert_sino(np.array(sinogram[:count], np.float32))
        image: Floats = projector.fbp(row_filter(np.ascontiguousarray(rows))).copy()
        return image

    return slice_of


def astra_fbp(
    sinograms: NDArray[np.floating], angles: NDArray[np.floating], axis: float | None = None
) -> Floats:
    """ASTRA: FBP on the CPU with the linear projector; its axis is the centre, rows are moved."""
    astra = _require("astra", "astra-toolbox")
    stack, angles, axis = _checked(sinograms, angles, axis)
    n = stack.shape[-1]
    centre = (n - 1) / 2
    if axis != centre:
        stack = _moved_rows(stack, np.full(len(angles), centre - axis))
    detector = astra.create_proj_geom("parallel", 1.0, n, -angles)
    grid = astra.create_vol_geom(n, n)
    projector = astra.create_projector("linear", detector, grid)
    slices = np.empty((len(stack), n, n), np.float32)
    try:
        for index, rows in enumerate(stack):
            slices[index] = _astra_slice(astra, rows, detector, grid, projector)
    finally:
        astra.projector.delete(projector)
    return slices


def _astra_slice(
    astra: ModuleType, rows: Floats, detector: object, grid: object, projector: int
) -> Floats:
    data = astra.data2d.create("-sino", detector, rows)
    image = astra.data2d.create("-vol", grid)
    options = astra.astra_dict("FBP")
    options.update(ProjectorId=projector, ProjectionDataId=data, ReconstructionDataId=image)
    options["option"] = {"FilterType": "Ram-Lak"}
    algorithm = astra.algorithm.create(options)
    try:
        astra.algorithm.run(algorithm)
        return np.asarray(astra.data2d.get(image), np.float32)
    finally:
        astra.algorithm.delete(algorithm)
        astra.data2d.delete([data, image])


def algotom_fbp(
    sinograms: NDArray[np.floating], angles: NDArray[np.floating], axis: float | None = None
) -> Floats:
    """algotom: FBP on the CPU (numba, all threads).

    Its threads add to the same image without a lock, so results differ a little from run to run.
    """
    reconstruction = _require("algotom.rec.reconstruction", "algotom")
    stack, angles, axis = _checked(sinograms, angles, axis)
    n = stack.shape[-1]
    slices = reconstruction.fbp_reconstruction(
        np.moveaxis(stack, 1, 0),
        axis,
        angles=-angles,
        ratio=None,
        filter_name=None,
        pad=n // 2,
        pad_mode="constant",
        apply_log=False,
        gpu=False,
    )
    return np.ascontiguousarray(np.moveaxis(slices, 1, 0), np.float32)


def skimage_fbp(
    sinograms: NDArray[np.floating], angles: NDArray[np.floating], axis: float | None = None
) -> Floats:
    """scikit-image: ``iradon`` with linear interpolation.

    Its axis is the pixel ``n // 2`` and its grid is centred on a pixel: rows are moved to fit.
    """
    transform = _require("skimage.transform", "scikit-image")
    stack, angles, axis = _checked(sinograms, angles, axis)
    n = stack.shape[-1]
    half = n // 2 - (n - 1) / 2
    moves = n // 2 - axis - half * (np.cos(angles) + np.sin(angles))
    moved = _moved_rows(stack, moves)
    return np.stack(
        [
            transform.iradon(
                rows.T, theta=-np.rad2deg(angles), output_size=n, circle=False, filter_name="ramp"
            ).astype(np.float32)
            for rows in moved
        ]
    )


def finufft_fbp(
    sinograms: NDArray[np.floating], angles: NDArray[np.floating], axis: float | None = None
) -> Floats:
    """FINUFFT: type-1 transform of the filtered rows' spectra, slice by slice.

    Angles may be uneven: each weighs half the gaps to its neighbours modulo 180 degrees.
    """
    stack, angles, axis = _checked(sinograms, angles, axis)
    return finufft_planned(angles, stack.shape[-1], axis, together=1)(stack)


def finufft_planned(
    angles: NDArray[np.floating],
    columns: int,
    axis: float | None = None,
    *,
    accuracy: float = 1e-3,
    together: int = 2,
) -> Callable[[Floats], Floats]:
    """FINUFFT as :func:`finufft_fbp`, its plan made and its points sorted once for all slices.

    One transform at a time, of one slice or of two (a complex one of two real ones): several at a
    time are no faster on a few cores.
    """
    finufft = _require("finufft", "finufft")
    angles, n = np.asarray(angles, np.float64), columns
    axis = (n - 1) / 2 if axis is None else axis
    width = scipy.fft.next_fast_len(2 * n)
    lag = np.abs(np.fft.fftfreq(width, 1 / width))
    kernel = np.where(lag % 2 == 1, -1 / (np.pi * np.maximum(lag, 1)) ** 2, 0.0)
    kernel[0] = 0.25
    ramp = np.fft.fft(kernel).real
    # The Nyquist frequency of an even row has no partner: shifted, it would mix the two slices.
    if width % 2 == 0 and together == 2:
        ramp[width // 2] = 0
    frequency = np.fft.fftfreq(width)
    to_axis = np.exp(2j * np.pi * frequency * axis) * ramp / width
    spectrum_weight = (to_axis * _angle_weights(angles)[:, None]).astype(np.complex64)
    x = (2 * np.pi * np.cos(angles)[:, None] * frequency).astype(np.float32).ravel()
    y = (2 * np.pi * np.sin(angles)[:, None] * frequency).astype(np.float32).ravel()
    # The library's grid has its origin on pixel n // 2; ours lies between pixels for even n.
    half = np.float32((n - 1) / 2 - n // 2)
    spectrum_weight *= np.exp(-1j * half * (x + y)).reshape(spectrum_weight.shape)
    plan = finufft.Plan(1, (n, n), eps=accuracy, isign=1, dtype="complex64")
    plan.setpts(y, x)

    def slices_of(stack: Floats) -> Floats:
        slices = np.empty((len(stack), n, n), np.float32)
        for first in range(0, len(stack), together):
            pair = stack[first : first + together]
            packed = np.zeros(pair.shape[1:], np.complex64)
            packed.real = pair[0]
            packed.imag = pair[1] if len(pair) == 2 else 0
            values = scipy.fft.fft(packed, width, axis=-1, workers=-1)
            values *= spectrum_weight
            image = plan.execute(values.ravel())
            slices[first] = image.real
            if len(pair) == 2:
                slices[first + 1] = image.imag
        return slices

    return slices_of


PEERS: dict[str, Peer] = {
    "nabu": nabu_fbp,
    "astra": astra_fbp,
    "algotom": algotom_fbp,
    "skimage": skimage_fbp,
    "finufft": finufft_fbp,
}
"""The peers by name, for tests and benchmarks that run all that are installed."""


def _nabu_projector(shape: tuple[int, int], **options: Any) -> Any:
    """OpenCL back-projection of nabu about the middle of the slice, on what device there is."""
    opencl = _require("nabu.reconstruction.fbp_opencl", "nabu")
    try:
        return opencl.OpenCLBackprojector(
            shape,
            filter_name="none",
            extra_options={"use_textures": False, "centered_axis": True},
            **options,
        )
    except Exception as error:
        raise PeerMissing(
            f"nabu found no OpenCL device ({error}); pip install 'pyopencl[pocl]'."
        ) from error


def _require(module: str, package: str) -> ModuleType:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ImportError as error:
        raise PeerMissing(
            f"{package} is not installed ({error}); from the repository: pip install --group peers."
        ) from error


def _checked(
    sinograms: NDArray[np.floating], angles: NDArray[np.floating], axis: float | None
) -> tuple[Floats, NDArray[np.float64], float]:
    stack = np.ascontiguousarray(sinograms, np.float32)
    if stack.ndim != 3 or stack.shape[1] != len(angles):
        raise ValueError(
            f"The sinograms have shape {stack.shape} for {len(angles)} angles; "
            "give (slices, angles, columns)."
        )
    centre = (stack.shape[-1] - 1) / 2 if axis is None else float(axis)
    return stack, np.asarray(angles, np.float64), centre


def _angle_weights(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    order = np.argsort(angles % np.pi, kind="stable")
    sorted_angles = angles[order] % np.pi
    gaps = np.diff(sorted_angles, append=sorted_angles[0] + np.pi)
    weights = np.empty_like(angles)
    weights[order] = (gaps + np.roll(gaps, 1)) / 2
    return weights


def _moved_rows(stack: Floats, moves: NDArray[np.float64]) -> Floats:
    n = stack.shape[-1]
    width = scipy.fft.next_fast_len(2 * n, real=True)
    ramp = np.exp(-2j * np.pi * scipy.fft.rfftfreq(width) * moves[:, None])
    spectrum = scipy.fft.rfft(stack, width, axis=-1, workers=-1) * ramp.astype(np.complex64)
    moved: Floats = scipy.fft.irfft(spectrum, width, axis=-1, workers=-1)[..., :n]
    return moved
