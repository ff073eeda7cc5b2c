"""What a study can measure of a run: from its curves, and of the network itself."""
