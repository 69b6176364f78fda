"""The reports of a run: on the console, as files, and as a page."""
