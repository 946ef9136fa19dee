"""What a source of voxels may not tell by itself."""

from __future__ import annotations

from dataclasses import dataclass

from hipct.core.errors import InputError


@dataclass(frozen=True)
class SourceOptions:
    """What a source may not tell by itself.

    Attributes
    ----------
    dataset : str or None
        Which array of a file or group of several.
    axes : str or None
        Order of the stored axes, such as ``"xyz"``, the slowest one first.
    """

    dataset: str | None = None
    axes: str | None = None

    def order(self, stored: str = "zyx") -> tuple[int, int, int]:
        """Where the axes z, y, x stand among the stored ones.

        Raises
        ------
        InputError
            If the axes are not x, y and z in some order.
        """
        axes = (self.axes or stored).lower()
        if sorted(axes) != ["x", "y", "z"]:
            raise InputError(f"The axes are {axes!r}; give x, y and z in the stored order: zyx.")
        return (axes.index("z"), axes.index("y"), axes.index("x"))
