"""The newest checkpoint of a folder, under the name that programs import it by."""

from bf_pipeline.run.checkpoint.files import latest  # kept name

__all__ = ["latest"]
