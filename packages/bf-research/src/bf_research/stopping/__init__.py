"""Rules that stop bad trials of a sweep early; they know trials, steps and values, and no processes."""
