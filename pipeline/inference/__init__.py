"""A trained model, opened, and text from it."""
