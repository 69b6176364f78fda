"""The stages: a module each, with `units(rehearsed)`, its units in the order of their worth."""
