"""Raw scans: their geometry, the readers of every source format, the scan store."""
