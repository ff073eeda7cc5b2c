"""Probes of what the model predicts, and from what."""
