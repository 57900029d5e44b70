"""The report of a sweep: one HTML file that tells at first sight which configurations were good, and why."""
