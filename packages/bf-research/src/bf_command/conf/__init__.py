"""Configurations that any Hydra application may choose, such as hydra/callbacks: batchflow."""
