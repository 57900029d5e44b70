"""What a pipeline holds: the value with its recorded steps, and how it is written as a text."""
