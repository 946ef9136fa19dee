"""How long work tells a person where it stands.

Numerical and streaming code reports to an :class:`Observer` and knows nothing of terminals;
the command line brings one that draws bars with the time left.
"""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """What long work reports to. Calls may come from several threads."""

    def start(self, stage: str, total: int) -> None:
        """A stage of ``total`` steps begins."""

    def advance(self, stage: str, steps: int = 1) -> None:
        """``steps`` more of a stage are done."""

    def finish(self, stage: str) -> None:
        """A stage has ended."""

    def say(self, message: str) -> None:
        """One sentence that a person should read."""


class Silent:
    """An observer that keeps quiet: the default from Python."""

    def start(self, stage: str, total: int) -> None:
        """Nothing."""

    def advance(self, stage: str, steps: int = 1) -> None:
        """Nothing."""

    def finish(self, stage: str) -> None:
        """Nothing."""

    def say(self, message: str) -> None:
        """Nothing."""
