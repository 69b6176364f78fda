"""Published trained weights: the files that hold them, and how they are read."""
