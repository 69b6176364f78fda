"""What keeps a candidate honest in its process: its memory, the files it may open, the harness beside it."""
