"""The front door of BatchFlow's programs, a package of its own so that it opens at once.

Importing ``bf_research`` loads numpy and the pipeline; ``--help`` and a misspelt option need neither.
"""

import os

from bf_command.cli import command

# TensorFlow reads it when it is imported, which the program's other modules may do right after this one: on
# CPUs without AVX-512 training is several times faster by it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__all__ = ["command"]
