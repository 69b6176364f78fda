"""The steps before anything large is imported."""
