"""Optional packages: imported where needed, named in one sentence where missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from hipct.core.errors import MissingExtra


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional module, or say what to install.

    Parameters
    ----------
    module : str
        Name to import, e.g. ``"napari"``.
    extra : str
        The extra of hipct that brings it, e.g. ``"viewer"``.
    purpose : str
        What needs it, as the subject of a sentence.

    Raises
    ------
    MissingExtra
        If the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(
            f"{purpose} needs the package {module}, which cannot be imported ({error}); "
            f"install it with: pip install 'hipct[{extra}]'."
        ) from error
