"""The seeded faults of the operator. No check knows them."""
