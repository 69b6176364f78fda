"""Work on many machines: what a driver hands out, and how Ray carries it. Only `scheduler` knows Ray."""
