"""What did all that was played here say, taken together, and what should be played next?"""
