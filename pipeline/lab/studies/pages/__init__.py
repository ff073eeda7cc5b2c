"""What a study says to its reader: texts, tables and verdicts, in the terminal and as one HTML page."""
