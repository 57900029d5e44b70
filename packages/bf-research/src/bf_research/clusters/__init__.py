"""Trials on Ray and Slurm: given out one by one, heard and stopped through files of the sweep's folder."""
