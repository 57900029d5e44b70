"""Networks that tell the class of each place of a map."""
