"""Weights of other libraries: by name from torch, from .safetensors and .pth files, and from Keras's .h5."""

from bf_models.convert.load import load_file, load_state_dict, state_dict, state_shapes
from bf_models.convert.pth import read_pth
from bf_models.convert.report import Report

__all__ = ["Report", "load_file", "load_state_dict", "read_pth", "state_dict", "state_shapes"]
