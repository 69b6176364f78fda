"""The sizes that production runs: which there are, and how a kernel is led through them."""
