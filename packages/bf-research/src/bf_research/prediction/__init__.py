"""Predictions of a trained network for data of one's own, with the steps of its training."""
