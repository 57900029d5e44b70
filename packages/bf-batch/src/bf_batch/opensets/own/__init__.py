"""Data of one's own: labels, parts and pictures as people keep them, in tables, arrays and folders."""
