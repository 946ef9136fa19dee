"""Volumes of other formats, in and out."""
