"""Hydra finds the launcher here."""
