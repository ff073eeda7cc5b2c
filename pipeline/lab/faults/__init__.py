"""Faults that can be put into a training on purpose."""
