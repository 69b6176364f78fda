"""What comes of a case: verdicts, records, the machine they were made on, and the spread of errors."""
