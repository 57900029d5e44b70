"""Inspection of networks: layers, receptive fields, evidence for a class, activations, speed and memory."""

from bf_models.inspection.activations import read_activations, read_filters
from bf_models.inspection.batch_size import BatchSizeSearch, FoundBatchSize, find_batch_size
from bf_models.inspection.benchmark import Benchmark, Benchmarking, Timing, benchmark
from bf_models.inspection.cam import grad_cam
from bf_models.inspection.layers import LayerRow, LayerTable, tabulate_layers
from bf_models.inspection.pictures import (
    draw_activations,
    draw_filters,
    draw_grad_cam,
    draw_layers,
    draw_receptive_fields,
)
from bf_models.inspection.receptive import ReceptiveField, find_receptive_field

__all__ = [
    "BatchSizeSearch",
    "Benchmark",
    "Benchmarking",
    "FoundBatchSize",
    "LayerRow",
    "LayerTable",
    "ReceptiveField",
    "Timing",
    "benchmark",
    "draw_activations",
    "draw_filters",
    "draw_grad_cam",
    "draw_layers",
    "draw_receptive_fields",
    "find_batch_size",
    "find_receptive_field",
    "grad_cam",
    "read_activations",
    "read_filters",
    "tabulate_layers",
]
