"""From float slices to a 16-bit multiscale OME-Zarr volume, and its validation."""
