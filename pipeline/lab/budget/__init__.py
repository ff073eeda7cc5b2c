"""`rally budget`: what a training takes, before it runs."""
