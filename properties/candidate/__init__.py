"""What keeps a candidate honest in its process: its memory, what it may open, the harness that it shares it with."""
