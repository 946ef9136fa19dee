"""A slice, or a region of it, at several values of one setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hipct.core.errors import InputError
from hipct.core.memory import format_bytes
from hipct.core.progress import Observer, Silent
from hipct.live.cancel import Asked
from hipct.live.knobs import Knob, Value, knob_of
from hipct.live.scan import Region
from hipct.live.tuning import Tuning
from hipct.volume.figures import Figures
from hipct.volume.pictures import contact_sheet

MOST_VALUES = 101
LARGEST_STACK = 2 << 30
"""Bytes of a stack, which is held whole to be looked at."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """Pictures over the values of a setting.

    Attributes
    ----------
    knob : Knob
        The setting.
    values : tuple
        Its values, one a picture.
    stack : ndarray of float32, (values, rows, columns)
    figures : tuple of Figures
        One a picture.
    unit : str
        Of the voxels.
    """

    knob: Knob
    values: tuple[Value, ...]
    stack: NDArray[np.float32]
    figures: tuple[Figures, ...]
    unit: str

    @property
    def labels(self) -> tuple[str, ...]:
        """Name, value and unit, one a picture."""
        return tuple(f"{self.knob.title} {self.knob.text(value)}" for value in self.values)

    def sheet(self) -> Image.Image:
        """All pictures on one sheet and one grey scale, each with its label."""
        return contact_sheet(list(self.stack), list(self.labels))


def sweep(
    tuning: Tuning,
    key: str,
    values: Sequence[Value] | None = None,
    *,
    z: int,
    level: int = 0,
    region: Region | None = None,
    cancelled: Asked | None = None,
    observer: Observer | None = None,
) -> Sweep:
    """Make a slice at several values of one setting, all others as they are.

    Parameters
    ----------
    tuning : Tuning
        The scan and its settings.
    key : str
        The setting, e.g. ``"phase.delta_beta"``.
    values : sequence, optional
        At most 101; seven over the range of the setting by default, or all choices.
    z, level, region, cancelled
        As in :meth:`hipct.live.tuning.Tuning.slice`.
    observer : Observer, optional
        Told of the progress.

    Raises
    ------
    InputError
        If there is no such setting, there are too many values, or the stack would be larger than
        2 GiB.
    HipctError
        If a value is not allowed, or the scan lacks what it needs.
    """
    observer = observer or Silent()
    knob = knob_of(tuning.knobs, key)
    if values is None:
        values = knob.options if knob.scale == "choice" else knob.spread(7)
    if not 1 <= len(values) <= MOST_VALUES:
        raise InputError(f"{len(values)} values were given; allowed are 1 to {MOST_VALUES}.")
    tuned = [tuning.changed({key: value}) for value in values]
    observer.start("sweep", len(values))
    stack = np.empty(0, np.float32)
    told = []
    for number, each in enumerate(tuned):
        picture = each.slice(z, level=level, region=region, cancelled=cancelled)
        if number == 0:
            stack = _room(len(values), picture)
        stack[number] = picture
        told.append(each.figures_of(picture, level=level, region=region))
        observer.advance("sweep")
    observer.finish("sweep")
    return Sweep(knob, tuple(values), stack, tuple(told), tuning.live.unit)


def _room(count: int, picture: NDArray[np.float32]) -> NDArray[np.float32]:
    size = count * picture.nbytes
    if size > LARGEST_STACK:
        raise InputError(
            f"{count} pictures of {' x '.join(map(str, picture.shape))} voxels take "
            f"{format_bytes(size)}; at most {format_bytes(LARGEST_STACK)} are made: take a region, "
            "or fewer values."
        )
    return np.empty((count, *picture.shape), np.float32)
