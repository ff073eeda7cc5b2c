"""Weights and teachers from a folder, ours or Hugging Face's."""
