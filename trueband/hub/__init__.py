"""Folders of models in the form of the Hub: reading and writing them."""
