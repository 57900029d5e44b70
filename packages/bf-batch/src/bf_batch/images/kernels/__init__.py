"""Compiled loops: the one room that imports numba, which comes in when a loop is first needed."""
