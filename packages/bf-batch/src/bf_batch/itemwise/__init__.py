"""Work on the items of a batch one by one: what a call is, where it runs, what becomes of its results."""
