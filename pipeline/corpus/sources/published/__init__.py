"""Data sets that others published, downloaded and verified."""
