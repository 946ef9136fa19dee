"""The scan store: one zarr v3 group a scan, made for reading a slab of rows over all angles.

:func:`import_scan` makes one from a source, :class:`ScanStoreWriter` from frames as they come,
:class:`StoreScan` reads it. ``docs/scan-store.md`` describes the layout.
"""

from hipct.acquisition.importing import import_scan
from hipct.acquisition.store_reader import StoreScan
from hipct.acquisition.store_writer import ScanStoreWriter

__all__ = ["ScanStoreWriter", "StoreScan", "import_scan"]
