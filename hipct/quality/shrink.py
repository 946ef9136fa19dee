"""Pictures small enough for a page, without aliasing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def shrunk(picture: NDArray[np.float32], edge: int) -> NDArray[np.float32]:
    """Means over blocks of a picture, so that neither edge is longer than ``edge``.

    What is left over at the ends, less than a block, is dropped.

    Examples
    --------
    >>> shrunk(np.arange(12, dtype=np.float32).reshape(2, 6), 2).tolist()
    [[1.0, 4.0], [7.0, 10.0]]
    """
    rows, columns = (-(-side // edge) for side in picture.shape)
    height, width = picture.shape[0] // rows, picture.shape[1] // columns
    cut = picture[: height * rows, : width * columns].reshape(height, rows, width, columns)
    means: NDArray[np.float32] = cut.mean(axis=(1, 3), dtype=np.float32)
    return means
