"""The figures of a slice as a table, before and after."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHeaderView, QTableWidget, QTableWidgetItem

from hipct.volume.figures import Figures

_UNKNOWN = "\N{EN DASH}"

ROWS: tuple[tuple[str, str, Callable[[Figures], float | None]], ...] = (
    (
        "halo",
        "Rim beside the edges, in units of their step. Above 0: fringes are left, delta/beta is "
        "too small. Below 0: over-smoothed, delta/beta is too large.",
        lambda told: told.halo,
    ),
    (
        "sharpness",
        "Full width at half maximum of the blur of the mean edge; less is sharper.",
        lambda told: told.sharpness_px,
    ),
    (
        "noise",
        "Standard deviation of what changes within 16 voxels where the sample does not.",
        lambda told: told.noise,
    ),
    (
        "contrast",
        "Distance of the two classes of grey values that Otsu's threshold makes.",
        lambda told: told.contrast,
    ),
    ("contrast / noise", "Contrast in units of the noise.", lambda told: told.contrast_to_noise),
)


class FiguresTable(QTableWidget):
    """Noise, contrast, sharpness and halo, before and after.

    Parameters
    ----------
    unit : str
        Of the voxels.
    voxel_size_um : float or None
        Edge of a voxel.
    """

    def __init__(self, unit: str, voxel_size_um: float | None) -> None:
        super().__init__(len(ROWS), 2)
        self._unit, self._voxel_um = unit, voxel_size_um
        self.setHorizontalHeaderLabels(["before", "after"])
        self.setVerticalHeaderLabels([name for name, _, _ in ROWS])
        self.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QTableWidget.SelectionMode.NoSelection)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.cells = [[QTableWidgetItem(_UNKNOWN) for _ in range(2)] for _ in ROWS]
        for line, (_, words, _) in enumerate(ROWS):
            self.verticalHeaderItem(line).setToolTip(words)
            for column, item in enumerate(self.cells[line]):
                item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                item.setToolTip(words)
                self.setItem(line, column, item)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        line_px = self.fontMetrics().height() + 6
        self.verticalHeader().setMinimumSectionSize(line_px)
        self.verticalHeader().setDefaultSectionSize(line_px)
        self.horizontalHeader().setFixedHeight(line_px)
        self.setFixedHeight((len(ROWS) + 1) * line_px + 2 * self.frameWidth() + 2)

    def put(self, figures: tuple[Figures, Figures] | None) -> None:
        """Show figures, or that there are none yet."""
        for column in range(2):
            for line, (name, _, value) in enumerate(ROWS):
                told = None if figures is None else value(figures[column])
                self.cells[line][column].setText(
                    _UNKNOWN if told is None else self.text(name, told)
                )

    def text(self, name: str, value: float) -> str:
        """A figure with its unit."""
        if name == "halo":
            return f"{value:+.2f}"
        if name == "sharpness":
            if self._voxel_um is None:
                return f"{value:.2f} px"
            return f"{value * self._voxel_um:.3g} um"
        if name == "contrast / noise":
            return f"{value:.2f}"
        return f"{value:.3g} {self._unit}"
