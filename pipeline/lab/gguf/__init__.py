"""GGUF, the file format of llama.cpp: networks and tokenizers written to it, and read from it."""
