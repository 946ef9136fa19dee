"""Chunks and shards of Zarr on a disk: encoded, decoded, checked."""
