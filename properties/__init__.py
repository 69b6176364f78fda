"""Properties: cases, bounds, checks, seeded faults, and the engine that gates a kernel. Never imports `optimized`."""
