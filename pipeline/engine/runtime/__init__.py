"""Device, precision, threads."""
