"""Files that stages write: their names and checksums, and how they are written and read."""
