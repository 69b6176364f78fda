"""Attention within spans of keys: sides of their own or none, key heads, offsets, segments, and what changes scores."""
