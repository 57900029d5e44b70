"""The earlier place of ``to_tf_dataset``."""

from bf_pipeline.tf_dataset import to_tf_dataset  # kept name

__all__ = ["to_tf_dataset"]
