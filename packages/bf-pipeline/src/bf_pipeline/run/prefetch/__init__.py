"""Batches worked on ahead of the one at hand: by threads, by processes, on a Ray cluster."""
