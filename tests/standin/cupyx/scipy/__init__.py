"""Parts of SciPy for arrays of the device."""
