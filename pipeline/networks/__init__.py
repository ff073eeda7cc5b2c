"""What learns? One file is one family of knobs is one table."""
