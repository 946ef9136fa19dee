"""How people see volumes: windows of napari, its plugin, a server for browsers."""
