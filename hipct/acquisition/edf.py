"""ESRF's folders of EDF images with an ``.info`` or ``.xml`` file, as taken before 2021.

One folder a scan: ``NAME0000.edf`` and on are projections, ``refHST0000.edf`` (or
``ref0003_0000.edf``: the fourth of those before projection 0) flats, ``darkend0000.edf`` (the sum
of DARK_N frames) or ``dark.edf`` (their mean) the dark. Images are read through fabio.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.acquisition.angles import given_angles, no_angles
from hipct.acquisition.edf_metadata import EdfHeader, open_image, read_header, read_parameters
from hipct.acquisition.foreign import reading
from hipct.acquisition.scan import Acquisition, FrameKind, Scan, ScanInfo
from hipct.acquisition.tiff_frames import natural_key
from hipct.core.errors import FormatError
from hipct.core.threads import parallel_for

_FLAT = re.compile(r"^ref(?:HST(?P<median>\d+)|(?P<number>\d+)_(?P<before>\d+))\.edf$", re.I)
_DARK = re.compile(r"^dark(?:end|HST)?\d*\.edf$", re.I)
_NUMBERED = re.compile(r"^(?P<stem>.*?)_?(?P<number>\d{4,})\.edf$", re.I)
_IGNORED = ("_slice_", "_slice", "sino", "_ccd")
HALF_TURN_DEG = 200.0


@dataclass
class _Files:
    """Files of a folder by what they hold."""

    projections: dict[int, Path] = field(default_factory=dict)
    flats: list[tuple[int, Path]] = field(default_factory=list)
    darks: list[Path] = field(default_factory=list)


class EdfScan(Scan):
    """A scan in a folder of EDF images.

    Parameters
    ----------
    path : str or Path
        The folder.
    angles : array_like or str, optional
        Angles in radians, or ``start:stop[:exclusive]`` in degrees, instead of those that
        ScanRange and TOMO_N tell.

    Raises
    ------
    FormatError
        If images are damaged or not alike, or none are projections.
    MissingMetadata
        If the angles are not known.
    MissingExtra
        If fabio is not installed.
    """

    def __init__(self, path: str | Path, *, angles: ArrayLike | str | None = None) -> None:
        self.path = Path(path)
        with reading(self.path, "EDF"):
            files = _sorted(self.path)
            parameters = read_parameters(self.path)
            notes: list[str] = []
            names = self._projections(files, parameters, notes)
            headers = self._headers([*names, *(file for _, file in files.flats)])
            first = headers[0]
            self._shape, dtype = first.shape, first.dtype
            darks = [read_header(file) for file in files.darks]
            self._summed = self._dark_sums(files, darks, parameters, notes)
            if any(darks) and dtype.kind == "u" and any(dark.dtype != dtype for dark in darks):
                notes.append("Darks are stored in another type than projections; they are rounded.")
            self._frames: dict[FrameKind, list[Path]] = {
                "projections": names,
                "flats": [file for _, file in files.flats],
                "darks": files.darks,
            }
            for header in (*headers, *darks):
                if header.shape != first.shape:
                    raise FormatError(
                        f"{header.path} has {header.shape} pixels and {first.path} {first.shape}; "
                        "all images of a scan have to be of one size."
                    )
            self.row_chunk = self._shape[0]
            angles_rad = given_angles(angles, len(names))
            if angles_rad is None:
                angles_rad = self._angles(len(names), parameters, notes)
            flats = np.array([number for number, _ in files.flats], dtype=np.float64)
            self.info = self._info(
                headers=headers,
                flat_numbers=flats,
                angles_rad=angles_rad,
                parameters=parameters,
                notes=notes,
            )

    def _projections(
        self, files: _Files, parameters: dict[str, float], notes: list[str]
    ) -> list[Path]:
        numbers = sorted(files.projections)
        wanted = int(parameters.get("tomo_n", len(numbers)))
        beyond = [number for number in numbers if number >= wanted]
        if beyond:
            notes.append(
                f"{len(beyond)} images after the {wanted} projections that TOMO_N tells are left "
                "out (taken again at the end to show motion)."
            )
        kept = [number for number in numbers if number < wanted]
        if not kept:
            raise FormatError(f"{self.path} holds no projections (NAME0000.edf and on).")
        missing = sorted(set(range(wanted)) - set(kept))
        if missing:
            notes.append(
                f"{len(missing)} of {wanted} projections are missing (the first is number "
                f"{missing[0]}); the others keep their angles."
            )
        self._numbers = np.array(kept, dtype=np.float64)
        return [files.projections[number] for number in kept]

    def _headers(self, files: Sequence[Path]) -> list[EdfHeader]:
        headers: list[EdfHeader | None] = [None] * len(files)

        def read(first: int, last: int) -> None:
            for k in range(first, last):
                headers[k] = read_header(files[k])

        parallel_for(read, len(files))
        return [header for header in headers if header is not None]

    def _dark_sums(
        self,
        files: _Files,
        darks: list[EdfHeader],
        parameters: dict[str, float],
        notes: list[str],
    ) -> int:
        count = int(parameters.get("dark_n", 1))
        summed = count > 1 and any("darkend" in file.name.lower() for file in files.darks)
        if summed and darks:
            notes.append(f"The dark is the sum of {count} frames (DARK_N) and was divided by them.")
        return count if summed else 1

    def _angles(
        self, count: int, parameters: dict[str, float], notes: list[str]
    ) -> NDArray[np.float64]:
        turn, total = parameters.get("scanrange"), parameters.get("tomo_n")
        if turn is None or total is None or total < 1 or turn == 0:
            raise no_angles(
                str(self.path), count, "no ScanRange and TOMO_N in an .info or .xml file"
            )
        notes.append(
            f"Angles: {total:.0f} even steps of ScanRange / TOMO_N, the end angle not included."
        )
        angles: NDArray[np.float64] = np.radians(turn) / total * self._numbers
        return angles

    def _info(
        self,
        *,
        headers: list[EdfHeader],
        flat_numbers: NDArray[np.float64],
        angles_rad: NDArray[np.float64],
        parameters: dict[str, float],
        notes: list[str],
    ) -> ScanInfo:
        count = len(self._frames["projections"])
        current = np.array([header.current_ma for header in headers], dtype=np.float64)
        known = bool(np.isfinite(current).any())
        pixel, distance = parameters.get("pixelsize"), parameters.get("distance")
        if pixel is not None or distance is not None:
            notes.append(
                "Pixel size and distance were taken as effective: the .info file records no "
                "magnification by the beam's divergence."
            )
        first = headers[0]
        side = first.motors.get("yrot")
        z = first.motors.get("sz")
        turn = float(np.ptp(angles_rad))
        acquisition: Acquisition = "half" if np.degrees(turn) > HALF_TURN_DEG else "full"
        notes.append(
            f"The format does not name the acquisition; {np.degrees(turn):.4g} degrees were taken "
            f"as {acquisition} (--set scan.acquisition=... says otherwise)."
        )
        return ScanInfo(
            projections=count,
            rows=self._shape[0],
            columns=self._shape[1],
            dtype=first.dtype,
            angles_rad=angles_rad,
            acquisition=acquisition,
            # Spec's .info: um, mm, keV.
            pixel_size_um=pixel,
            distance_m=None if distance is None else distance * 1e-3,
            energy_kev=parameters.get("energy"),
            projection_index=self._numbers,
            # Just before the projection that their names tell.
            flat_index=flat_numbers - 0.5,
            dark_index=np.arange(-len(self._frames["darks"]), 0, dtype=np.float64) - 0.5,
            current=current[:count] if known else None,
            flat_current=current[count:] if known else None,
            current_unit="mA" if known else None,
            name=self.path.name,
            start_time=first.time,
            z_um=None if z is None else z * 1e3,
            lateral_um=None if side is None else side * 1e3,
            source=str(self.path),
            format="EDF",
            notes=tuple(notes),
        )

    def _read_into(self, kind: FrameKind, frames: slice, rows: slice, out: NDArray[Any]) -> None:
        for k, file in enumerate(self._frames[kind][frames]):
            with reading(file, "EDF"), open_image(file) as image:
                frame = np.asarray(image.data)[rows]
            if kind == "darks" and self._summed > 1:
                frame = frame / self._summed
            if out.dtype.kind in "ui" and frame.dtype != out.dtype:
                limits = np.iinfo(out.dtype)
                frame = np.clip(np.rint(frame), limits.min, limits.max)
            out[k] = frame


def is_edf_folder(folder: Path) -> bool:
    """Whether a folder holds numbered EDF images."""
    return any(_NUMBERED.match(child.name) for child in folder.iterdir() if child.is_file())


def _sorted(folder: Path) -> _Files:
    files = _Files()
    by_stem: dict[str, dict[int, Path]] = {}
    for file in sorted(folder.iterdir(), key=lambda file: natural_key(file.name)):
        name = file.name
        if not name.lower().endswith(".edf") or any(part in name for part in _IGNORED):
            continue
        flat = _FLAT.match(name)
        if flat:
            files.flats.append((int(flat["median"] or flat["before"] or 0), file))
        elif _DARK.match(name):
            files.darks.append(file)
        elif numbered := _NUMBERED.match(name):
            by_stem.setdefault(numbered["stem"], {})[int(numbered["number"])] = file
    # Medians stand for the single flats that they were made of.
    if any("refhst" in file.name.lower() for _, file in files.flats):
        files.flats = [pair for pair in files.flats if "refhst" in pair[1].name.lower()]
    files.flats.sort(key=lambda pair: pair[0])
    if len(by_stem) > 1 and folder.name in by_stem:
        by_stem = {folder.name: by_stem[folder.name]}
    if len(by_stem) > 1:
        raise FormatError(
            f"{folder} holds EDF images of {len(by_stem)} names that may be the projections "
            f"({', '.join(sorted(by_stem)[:6])}); keep one scan a folder."
        )
    for images in by_stem.values():
        files.projections = images
    return files
