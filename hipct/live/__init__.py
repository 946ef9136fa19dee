"""A part of a scan, reconstructed when it is looked at."""
