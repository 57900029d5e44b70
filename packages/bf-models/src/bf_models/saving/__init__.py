"""Models in files: the archive, and what of a model goes into it."""
