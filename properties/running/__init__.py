"""Running checks: plans, the search for the smallest failing case, and campaigns."""
