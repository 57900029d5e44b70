"""Groups of Hydra's own configuration to which BatchFlow adds a choice."""
