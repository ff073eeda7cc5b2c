"""Three splits without copies, near-duplicates or related documents on both sides."""
