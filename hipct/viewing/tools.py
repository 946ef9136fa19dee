"""Small things that panels are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QPushButton, QSizePolicy, QWidget


def tool(name: str, tip: str, call: Callable[[], object]) -> QPushButton:
    """A button as narrow as its name; several of them share the width of a panel."""
    button = QPushButton(name)
    button.setStyleSheet("min-width: 0px; padding: 3px 4px;")
    button.setToolTip(tip)
    button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    button.clicked.connect(lambda _=False: call())
    return button


def add_panel(viewer: Any, panel: QWidget, name: str) -> None:
    """Put a large panel beside a window, as one more tab at the right, and bring it to the front.

    Below one another the panels would be higher than many a screen.
    """
    dock = viewer.window.add_dock_widget(panel, name=name, area="right", tabify=True)
    dock.raise_()
