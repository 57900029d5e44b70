"""The programs of bf-research: ``batchflow``, and what stands behind ``train.py`` and ``predict.py``."""
