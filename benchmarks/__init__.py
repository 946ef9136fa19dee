"""Measurements of hipct and of its peers; see README.md in this folder for how to run them."""
