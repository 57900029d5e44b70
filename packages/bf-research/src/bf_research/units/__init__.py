"""The parts of an experiment: pipelines, functions and metrics, and the trial that runs them."""
