"""What can be bet on from the command line, and how do these bets end?"""
