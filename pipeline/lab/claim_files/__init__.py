"""What is held to be true here, on which numbers does it rest, and are they still those of this code?"""
