"""Benchmarks: each module is a command that measures what it compares side by side, in one run, and prints a table."""
