"""One fault that a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """A fault of a volume.

    Attributes
    ----------
    rule : short name of the rule that is broken
    severity : "error" if data or positions are wrong or missing, "warning" if readers may stumble
    sentence : where, what was found, what belongs there
    """

    rule: str
    severity: Literal["error", "warning"]
    sentence: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.sentence} [{self.rule}]"
