"""The trials of a sweep: which are left, what became of each, and the table of their results."""
