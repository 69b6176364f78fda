"""A run of the checks: what is asked for, its suites opened, and their records. All fronts stand on it."""
