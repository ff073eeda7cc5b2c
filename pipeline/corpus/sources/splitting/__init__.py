"""Three splits without copies, near-duplicates or kin on both sides."""
