"""`rally doctor`, and the benchmark that tests its diagnoses."""
