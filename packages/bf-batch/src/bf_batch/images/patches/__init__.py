"""Patches of pictures: cut, put together again, and pasted on backgrounds."""
