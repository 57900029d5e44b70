"""Binding: a recorded pipeline becomes closures that are ready to run, or one error with all mistakes."""
