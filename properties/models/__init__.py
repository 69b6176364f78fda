"""Properties of whole models: cases with random weights, named checks, seeded faults."""
