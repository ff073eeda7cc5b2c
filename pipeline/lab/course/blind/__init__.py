"""The blind fault: a run that may be broken, shown without its diagnosis. Learner and doctor name the cause."""
