"""Colour, noise, mixing, and pixel values as a whole."""
