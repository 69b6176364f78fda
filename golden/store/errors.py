"""The one error of the store."""


class GoldenFileError(ValueError):
    """A golden that is truncated, altered, of an unknown format, or not listed. The text names file and field."""
