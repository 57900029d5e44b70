"""Networks that tell an item again from a few numbers, and make new ones."""
