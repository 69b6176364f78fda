"""The GPU kit: everything to do in the hour when a GPU is there. Start `run.py`; docs/device.md says what it does."""
