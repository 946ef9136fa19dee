"""Volumes against one another: the Human Organ Atlas, transforms, registration."""
