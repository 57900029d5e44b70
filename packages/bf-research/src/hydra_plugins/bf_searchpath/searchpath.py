"""A Hydra plugin that lets any application choose the configurations which bf-research brings along."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from bf_command.standard import standard_folders


class BatchFlowSearchPath(SearchPathPlugin):
    """A search path that ends with ``bf_command.conf``, so that the application's own files come first."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the configurations that come with the program, and those for every application."""
        for folder in standard_folders():
            search_path.append("bf_research", f"file://{folder}")
        search_path.append("bf_research", "pkg://bf_command.conf")
