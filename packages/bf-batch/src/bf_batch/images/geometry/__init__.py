"""Geometry: steps between frames pile up as matrices, pixels are resampled once, points follow."""
