"""Binding: a recorded pipeline becomes functions that are ready to run, or one error with all mistakes."""
