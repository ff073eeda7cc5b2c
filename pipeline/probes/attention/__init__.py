"""Probes of attention heads."""
