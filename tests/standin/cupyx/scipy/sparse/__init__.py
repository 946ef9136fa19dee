"""Sparse matrices of the device: as much as a product with a dense array needs."""

from __future__ import annotations

from typing import Any

import numpy as np
from cupy._array import device, host, ndarray


class csr_matrix:  # noqa: N801
    """A matrix by rows; from a triple of device arrays, or from one of SciPy's."""

    def __init__(self, arg1: Any, shape: Any = None, dtype: Any = None, copy: bool = False):
        import scipy.sparse

        if scipy.sparse.issparse(arg1):
            self._matrix = scipy.sparse.csr_matrix(arg1, shape, dtype, copy)
        else:
            parts = arg1[0], *(arg1[1] if isinstance(arg1[1], tuple) else arg1[1:])
            if not all(isinstance(part, ndarray) for part in parts):
                raise TypeError("data and indices of a sparse matrix are arrays of the device")
            self._matrix = scipy.sparse.csr_matrix(host(arg1), shape, dtype, copy)
        if self._matrix.dtype.char not in "?fdFD":
            raise ValueError("Only bool, float32, float64, complex64 and complex128 are supported")

    shape = property(lambda self: self._matrix.shape)
    dtype = property(lambda self: self._matrix.dtype)
    nnz = property(lambda self: self._matrix.nnz)

    def __matmul__(self, other: Any) -> ndarray:
        if not isinstance(other, ndarray):
            raise TypeError(f"a sparse matrix of the device times {type(other)}")
        return device(np.asarray(self._matrix @ host(other)))

    def dot(self, other: Any) -> ndarray:
        """The product with a dense array."""
        return self @ other

    @property
    def T(self) -> csr_matrix:  # noqa: N802
        """The transpose."""
        return csr_matrix(self._matrix.T)


__all__ = ["csr_matrix"]
