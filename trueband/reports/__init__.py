"""What a run leaves behind: on the console, as files, and as a page."""
