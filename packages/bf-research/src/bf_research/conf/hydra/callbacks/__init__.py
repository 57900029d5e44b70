"""Configurations of Hydra itself."""
