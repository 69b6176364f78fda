"""What comes of a case: verdicts, records, where they were made, and how errors are spread."""
