"""What can be bet on from the command line, and what came of it?"""
