"""Probes of the text that the model writes."""
