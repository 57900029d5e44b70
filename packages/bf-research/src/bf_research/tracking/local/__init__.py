"""Trackers that write plain files of this machine, without a store."""
