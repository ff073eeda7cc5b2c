"""Probes of activations, layer by layer."""
