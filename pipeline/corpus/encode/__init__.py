"""From text to the ids that training reads."""
