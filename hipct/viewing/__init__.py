"""Hand-over of volumes to people: napari, pictures."""
