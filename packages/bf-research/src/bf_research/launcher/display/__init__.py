"""What a person sees of a sweep while it runs: a table on a screen or in a notebook, lines elsewhere."""
