"""Files that stages leave: their names, checksums, and how they are written and read."""
