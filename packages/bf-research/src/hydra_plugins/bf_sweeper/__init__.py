"""The sweeper plugin of Hydra: thin, since Hydra runs it again at every start."""
