"""Photos of scenes: what they show, and the class of each pixel."""
