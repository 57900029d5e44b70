"""Trackers that write files of this machine, without a store."""
