"""Weights of other libraries: by name from torch, from .safetensors and .pth files, and from Keras's .h5."""

from bf_models.convert.loading import Report, load_file, load_state_dict, state_dict, state_shapes
from bf_models.convert.pth import read_pth

__all__ = ["Report", "load_file", "load_state_dict", "read_pth", "state_dict", "state_shapes"]
