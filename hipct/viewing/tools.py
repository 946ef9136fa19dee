"""Small things that panels are made of."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QSizePolicy, QToolButton


def tool(name: str, tip: str, call: Callable[[], object]) -> QToolButton:
    """A button as narrow as its name; several of them share the width of a panel."""
    button = QToolButton()
    button.setText(name)
    button.setToolTip(tip)
    button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    button.clicked.connect(lambda _=False: call())
    return button
