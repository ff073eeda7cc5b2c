"""What to run tomorrow on the card at hand, for how long, and when to stop?"""
