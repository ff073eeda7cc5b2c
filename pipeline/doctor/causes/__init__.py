"""Why may a run be sick? Each cause with the signs that vote for it, and the experiment that would confirm it."""
