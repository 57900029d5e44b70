"""The training loop: one class behind the command and a notebook, and the events that look at it."""
