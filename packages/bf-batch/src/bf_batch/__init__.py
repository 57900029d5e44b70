"""BatchFlow."""
