"""A run of a pipeline: options, state, work ahead, checkpoints, and the loop that delivers batches."""
