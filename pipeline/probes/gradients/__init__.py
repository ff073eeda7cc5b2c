"""Probes of gradients and updates."""
