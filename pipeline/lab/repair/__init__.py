"""`rally repair`: what a kill left half done in git's and DVC's own files."""
