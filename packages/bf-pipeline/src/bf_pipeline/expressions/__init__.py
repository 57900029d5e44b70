"""Named expressions: values that are known only when a batch is there, and targets that they name."""
