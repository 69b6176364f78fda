"""What can be told about a GPU kernel without a GPU."""
