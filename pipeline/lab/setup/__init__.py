"""The environment: what is installed, what Python starts with, plots that open offline."""
