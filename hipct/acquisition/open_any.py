"""Opens a scan or a series: whichever a path, or several, turn out to be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from numpy.typing import ArrayLike

from hipct.acquisition.open import open_scan
from hipct.acquisition.scan import Scan
from hipct.acquisition.series import Series, open_series
from hipct.acquisition.series_sources import find_sources
from hipct.acquisition.series_store import is_series_store
from hipct.core.errors import FormatError, HipctError, InputError


def open_any(
    what: str | Path | Iterable[str | Path],
    *,
    angles: ArrayLike | str | None = None,
    entry: str | int | None = None,
    series: bool = False,
    allow_gaps: bool = False,
    z_um: Sequence[float] | None = None,
    flip_z: bool = False,
) -> Scan | Series:
    """Open a scan, or all sub-scans of a series.

    Parameters
    ----------
    what : str, Path, or several of them
        A scan as of :func:`~hipct.acquisition.open.open_scan`, or what
        :func:`~hipct.acquisition.series.open_series` takes: a series store, a folder that holds
        scans and no images of its own, a list.
    angles, entry
        For a scan; see :func:`~hipct.acquisition.open.open_scan`.
    series : bool
        It is a series, even if it could be one scan: a file with several entries.
    allow_gaps, z_um, flip_z
        For a series; see :func:`~hipct.acquisition.series.open_series`.

    Raises
    ------
    FormatError, InputError
        If nothing of it can be read, the sub-scans do not fit together, or an option is not for
        what it is.
    """
    of_series = allow_gaps or z_um is not None or flip_z
    of_scan = angles is not None or entry is not None
    if series or not isinstance(what, (str, Path)) or _is_series(Path(what)):
        if of_scan:
            raise InputError(
                "--angles and --entry are for one scan; the sub-scans of a series are opened with "
                "what their files say."
            )
        return open_series(what, allow_gaps=allow_gaps, z_um=z_um, flip_z=flip_z)
    if of_series:
        raise InputError(
            "--allow-gaps, --z and --flip-z are for a series; give --series with them if "
            f"{what} holds one."
        )
    return open_scan(what, angles=angles, entry=entry)


def _is_series(path: Path) -> bool:
    """Whether it is a series store, or a folder that is no scan and holds some."""
    if is_series_store(path):
        return True
    if not path.is_dir():
        return False
    try:
        open_scan(path).close()
    except FormatError:
        try:
            # A store that is no scan is found as its own only member: no series either.
            return any(each.path != path for each in find_sources(path).sources)
        except HipctError:
            return False
    except HipctError:
        pass
    return False
