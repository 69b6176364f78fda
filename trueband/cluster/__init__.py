"""Work on many machines: what a driver hands out, and how Ray carries it. Only `scheduler` and `command` know Ray."""
