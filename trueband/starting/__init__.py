"""What happens before anything large is imported."""
