"""Text to ids and back: bytes, characters, byte pairs, or a tokenizer from a file."""
