"""Inspection of networks: layers and operations, evidence for a class, activations and filters."""

from bf_models.inspection.activations import read_activations, read_filters
from bf_models.inspection.cam import grad_cam
from bf_models.inspection.layers import LayerRow, LayerTable, tabulate_layers
from bf_models.inspection.pictures import draw_activations, draw_filters, draw_grad_cam, draw_layers

__all__ = [
    "LayerRow",
    "LayerTable",
    "draw_activations",
    "draw_filters",
    "draw_grad_cam",
    "draw_layers",
    "grad_cam",
    "read_activations",
    "read_filters",
    "tabulate_layers",
]
