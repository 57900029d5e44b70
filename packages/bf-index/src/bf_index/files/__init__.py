"""Files as items: patterns expanded, paths by id, and what the storage is asked."""

from bf_index.files.files_index import FilesIndex

__all__ = ["FilesIndex"]
