"""Experiments of studies that are not trainings of the pipeline."""
