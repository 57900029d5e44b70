"""The config of a model: what may be set, nested mappings, and the targets that they may name."""
