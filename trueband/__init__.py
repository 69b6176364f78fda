"""trueband: verified attention for long documents."""

__version__ = "0.1.0"
