"""Geometry and bookkeeping of one scan, checked when made."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import InputError, MissingMetadata

Acquisition = Literal["full", "half"]
Kind = Literal["counts", "transmission", "line_integral"]

_QUANTITIES = {
    "energy_kev": "the photon energy (keV)",
    "pixel_size_um": "the effective pixel size (um)",
    "distance_m": "the effective propagation distance (m)",
    "rotation_axis_px": "the rotation axis (detector column)",
}


def _empty() -> NDArray[np.float64]:
    return np.empty(0)


@dataclass(frozen=True, kw_only=True, eq=False)
class ScanInfo:
    """Geometry and bookkeeping of one scan. Checked when made, and not changed afterwards.

    Attributes
    ----------
    projections, rows, columns : int
        Numbers of projections, detector rows and detector columns.
    dtype : numpy.dtype
        Of the frames as stored.
    angles_rad : numpy.ndarray
        (projections,) float64, in the order of the projections; any order, any range.
    acquisition : {"full", "half"}
        ``half``: the rotation axis lies near (or beyond) a detector edge, 360 degrees.
    pixel_size_um, distance_m, energy_kev : float or None
        Effective values: a magnification has been applied once already. ``None``: not known.
    rotation_axis_px : float or None
        Hint from metadata: absolute detector column, pixel centres at integers.
    projection_index, flat_index, dark_index : numpy.ndarray
        Frame numbers in order of acquisition ("time"); negative before the first projection.
        An empty ``projection_index`` stands for 0, 1, 2...
    return_angles_rad, return_index : numpy.ndarray
        Angles and frame numbers of views that were taken again at the end of the scan, which show
        how the sample has moved; mostly none.
    current, flat_current : numpy.ndarray or None
        Machine current of each projection and of each flat, as stored (NaN where unknown).
    current_unit : str or None
        Unit of both, e.g. ``"A"`` or ``"mA"``.
    subframes : int
        Camera frames summed into one stored frame.
    kind : {"counts", "transmission", "line_integral"}
        What the pixels of the projections hold.
    name : str
        Of the scan in its series; empty if it has none.
    start_time : str or None
        When the scan began, as the file writes it (ISO 8601).
    z_um : float or None
        Position along the sample of the middle detector row, (rows - 1)/2; the number of a row
        grows with it. Of a helical scan: the mean over its projections.
    lateral_um : float or None
        Position of the rotation axis across the beam, which grows with the detector's columns.
        Only differences between scans of one series mean something.
    projection_z_um : numpy.ndarray or None
        ``z_um`` of each projection where it moves during the scan (helical), else ``None``.
    source, format : str
        The file and how it was read.
    notes : tuple of str
        What the reader found or had to decide, as sentences.
    """

    projections: int
    rows: int
    columns: int
    dtype: np.dtype[Any]
    angles_rad: NDArray[np.float64]
    acquisition: Acquisition = "full"
    pixel_size_um: float | None = None
    distance_m: float | None = None
    energy_kev: float | None = None
    rotation_axis_px: float | None = None
    projection_index: NDArray[np.float64] = field(default_factory=_empty)
    flat_index: NDArray[np.float64] = field(default_factory=_empty)
    dark_index: NDArray[np.float64] = field(default_factory=_empty)
    return_angles_rad: NDArray[np.float64] = field(default_factory=_empty)
    return_index: NDArray[np.float64] = field(default_factory=_empty)
    current: NDArray[np.float64] | None = None
    flat_current: NDArray[np.float64] | None = None
    current_unit: str | None = None
    subframes: int = 1
    kind: Kind = "counts"
    name: str = ""
    start_time: str | None = None
    z_um: float | None = None
    lateral_um: float | None = None
    projection_z_um: NDArray[np.float64] | None = None
    source: str = ""
    format: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("projections", "rows", "columns", "subframes"):
            self._set(name, _count(name, getattr(self, name)))
        dtype = np.dtype(self.dtype)
        if dtype.kind not in "uif":
            raise InputError(
                f"The frames of {self.where} are of type {dtype}; integers or floats are allowed."
            )
        self._set("dtype", dtype.newbyteorder("="))
        for name in ("pixel_size_um", "energy_kev"):
            self._set(name, _number(name, getattr(self, name), above=0.0))
        self._set("distance_m", _number("distance_m", self.distance_m, at_least=0.0))
        for name in ("rotation_axis_px", "z_um", "lateral_um"):
            self._set(name, _number(name, getattr(self, name)))
        _one_of("acquisition", self.acquisition, get_args(Acquisition))
        _one_of("kind", self.kind, get_args(Kind))
        self._set("angles_rad", self._vector("angles_rad", self.projections))
        if np.size(self.projection_index) == 0:
            self._set("projection_index", np.arange(self.projections, dtype=np.float64))
        self._set("projection_index", self._vector("projection_index", self.projections))
        self._set("flat_index", self._vector("flat_index", None))
        self._set("dark_index", self._vector("dark_index", None))
        self._set("return_angles_rad", self._vector("return_angles_rad", None))
        self._set("return_index", self._vector("return_index", self.returns))
        if self.current is not None:
            self._set("current", self._vector("current", self.projections, finite=False))
        if self.flat_current is not None:
            self._set("flat_current", self._vector("flat_current", self.flats, finite=False))
        if self.projection_z_um is not None:
            self._set("projection_z_um", self._vector("projection_z_um", self.projections))
        self._set("notes", tuple(self.notes))

    @property
    def flats(self) -> int:
        """Number of flats."""
        return int(self.flat_index.size)

    @property
    def darks(self) -> int:
        """Number of darks."""
        return int(self.dark_index.size)

    @property
    def returns(self) -> int:
        """Number of views that were taken again at the end."""
        return int(self.return_angles_rad.size)

    @property
    def where(self) -> str:
        """The source, for messages."""
        return self.source or "this scan"

    @property
    def nbytes(self) -> int:
        """Bytes of all frames, uncompressed."""
        frames = self.projections + self.flats + self.darks + self.returns
        return frames * self.rows * self.columns * self.dtype.itemsize

    @property
    def angular_range_rad(self) -> float:
        """Largest minus smallest angle: the end angle counts only if it was measured."""
        return float(np.ptp(self.angles_rad))

    @property
    def angular_step_rad(self) -> float:
        """Median distance between neighbouring angles; 0 for a single projection."""
        if self.projections < 2:
            return 0.0
        return float(np.median(np.diff(np.sort(self.angles_rad))))

    @property
    def suggests_half_acquisition(self) -> bool:
        """Whether a scan taken as full covers a whole turn, as half-acquisitions do."""
        turn = self.angular_range_rad + self.angular_step_rad
        return self.acquisition == "full" and turn > math.radians(350)

    def require(self, *names: str, purpose: str = "This step") -> tuple[float, ...]:
        """Values of ``names``, all of them known.

        Parameters
        ----------
        *names : str
            Of ``energy_kev``, ``pixel_size_um``, ``distance_m``, ``rotation_axis_px``.
        purpose : str
            What needs them, as the subject of a sentence.

        Raises
        ------
        MissingMetadata
            If the scan does not carry one of them.
        """
        missing = [name for name in names if getattr(self, name) is None]
        if missing:
            what = " and ".join(_QUANTITIES[name] for name in missing)
            how = " ".join(f"--set scan.{name}=..." for name in missing)
            raise MissingMetadata(
                f"{purpose} needs {what}, which {self.where} does not hold; give it with {how} "
                f"(Python: info.with_overrides({', '.join(f'{name}=...' for name in missing)}))."
            )
        return tuple(float(getattr(self, name)) for name in names)

    def with_overrides(
        self,
        *,
        energy_kev: float | None = None,
        distance_m: float | None = None,
        pixel_size_um: float | None = None,
        rotation_axis_px: float | None = None,
        acquisition: Acquisition | None = None,
        subframes: int | None = None,
        kind: Kind | None = None,
        angles_rad: NDArray[np.float64] | None = None,
        z_um: float | None = None,
        lateral_um: float | None = None,
    ) -> ScanInfo:
        """Return a copy with the given values instead of the file's; ``None`` keeps the file's.

        Each value that replaces another one is noted.

        Raises
        ------
        InputError
            If a value is not allowed.
        """
        given: dict[str, Any] = {
            "energy_kev": energy_kev,
            "distance_m": distance_m,
            "pixel_size_um": pixel_size_um,
            "rotation_axis_px": rotation_axis_px,
            "acquisition": acquisition,
            "subframes": subframes,
            "kind": kind,
            "z_um": z_um,
            "lateral_um": lateral_um,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        notes = [
            f"scan.{name} was given as {value} (the file says {getattr(self, name)})."
            for name, value in changes.items()
            if getattr(self, name) is not None and getattr(self, name) != value
        ]
        if angles_rad is not None:
            changes["angles_rad"] = angles_rad
        return replace(self, **changes, notes=(*self.notes, *notes))

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _vector(self, name: str, count: int | None, *, finite: bool = True) -> NDArray[np.float64]:
        try:
            vector = np.array(getattr(self, name), dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"{name} of {self.where} are not numbers ({error}).") from error
        if vector.ndim != 1 or (count is not None and vector.size != count):
            wanted = "a list" if count is None else f"a list of {count}"
            raise InputError(
                f"{name} of {self.where} has the shape {vector.shape}; it has to be {wanted}."
            )
        if finite and not np.isfinite(vector).all():
            first = int(np.argmin(np.isfinite(vector)))
            raise InputError(
                f"{name}[{first}] of {self.where} is {vector[first]}; every value has to be finite."
            )
        vector.setflags(write=False)
        return vector


def _count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise InputError(f"The scan has {name} = {value!r}; it has to be a whole number above 0.")
    return int(value)


def _number(
    name: str, value: object, *, above: float | None = None, at_least: float | None = None
) -> float | None:
    if value is None:
        return None
    limit = f"above {above:g}" if above is not None else f"of at least {at_least or 0:g}"
    allowed = "a finite number" + ("" if above is None and at_least is None else f" {limit}")
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise InputError(f"scan.{name} is {value!r}; it has to be {allowed}.") from error
    if (
        not math.isfinite(number)
        or (above is not None and number <= above)
        or (at_least is not None and number < at_least)
    ):
        raise InputError(f"scan.{name} is {number}; it has to be {allowed}.")
    return number


def _one_of(name: str, value: object, allowed: Iterable[str]) -> None:
    if value not in tuple(allowed):
        raise InputError(f"scan.{name} is {value!r}; it has to be one of {', '.join(allowed)}.")
