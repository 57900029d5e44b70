"""The front door of BatchFlow's programs, a package of its own so that it opens at once.

Importing ``bf_research`` loads numpy and the pipeline; ``--help`` and a misspelt option need neither.
"""

from bf_command.cli import command

__all__ = ["command"]
