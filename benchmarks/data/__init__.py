"""Benchmarks of data: how fast they are tokenized and prepared, and what a random split hides."""
