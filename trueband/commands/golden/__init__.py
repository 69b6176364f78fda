"""The commands below `trueband golden`."""
