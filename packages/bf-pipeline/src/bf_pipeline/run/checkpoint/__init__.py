"""Checkpoints of a run: its state taken and given back, values as data, folders on disk, and SIGTERM."""
