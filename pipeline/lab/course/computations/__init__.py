"""What a drill computes itself, where no study answers its question."""
