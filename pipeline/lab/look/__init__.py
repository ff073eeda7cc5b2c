"""`rally look`: one forward pass, drawn."""
