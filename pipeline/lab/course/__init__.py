"""The course: five days of drills, each with a question, a bet, a run and what to notice; and the blind fault."""
