"""What is measured on a run: each sign with its formula, its healthy range, and its words."""
