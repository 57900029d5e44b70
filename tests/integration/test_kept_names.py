"""Dotted names that configurations, checkpoints, journals and commands hold keep their meaning."""

from __future__ import annotations

import importlib

import pytest

# By package; each is ``module.name`` or a module that is run by ``python -m``.
KEPT = {
    "bf_batch": [
        "bf_batch.batch.Batch",
        "bf_batch.dataset.Dataset",
        "bf_batch.engines.Engine",
        "bf_batch.engines.WorkerDied",
        "bf_batch.engines.make_engine",
        "bf_batch.images.ImagesBatch",
        "bf_batch.images.PictureCache",
        "bf_batch.images.batch.ImagesBatch",
        "bf_batch.images.show",
        "bf_batch.opensets.CIFAR10",
        "bf_batch.opensets.CIFAR100",
        "bf_batch.opensets.MNIST",
        "bf_batch.opensets.Digits",
        "bf_batch.opensets.FashionMNIST",
        "bf_batch.opensets.ImageFolder",
        "bf_batch.opensets.Imagenette",
        "bf_batch.opensets.Openset",
        "bf_batch.opensets.Pets",
        "bf_batch.opensets.download.fetch",
    ],
    "bf_models": [
        "bf_models.KerasModel",
        "bf_models.ResNet18",
        "bf_models.SklearnModel",
        "bf_models.blocks.ConvBlock",
        "bf_models.blocks.attention.CBAM",
        "bf_models.blocks.context.ASPP",
        "bf_models.blocks.conv_block.Chain",
        "bf_models.blocks.upsample.Upsample",
        "bf_models.convert.load_file",
        "bf_models.errors.CorruptCheckpoint",
        "bf_models.errors.StateError",
        "bf_models.losses.CrossEntropy",
        "bf_models.losses.SoftDice",
        "bf_models.losses.SoftIoU",
        "bf_models.metrics.ClassificationMetrics",
        "bf_models.metrics.classification.ClassificationMetrics",
        "bf_models.metrics.regression.RegressionMetrics",
        "bf_models.metrics.segmentation.SegmentationMetrics",
        "bf_models.metrics.segmentation.SegmentationMetricsByInstances",
        "bf_models.model.KerasModel",
        "bf_models.nn.Classifier",
        "bf_models.nn.Identity",
        "bf_models.optim.fused.Adam",
        "bf_models.optim.fused.AdamW",
        "bf_models.optim.fused.SGD",
        "bf_models.optim.schedules.Warmup",
        "bf_models.optim.schedules.WarmupCosine",
        "bf_models.safetensors.load_file",
        "bf_models.safetensors.save_file",
        "bf_models.sklearn_model.SklearnModel",
        "bf_models.zoo.attention.AttentionBody",
        "bf_models.zoo.googlenet.GoogLeNetBody",
        "bf_models.zoo.plain.Hidden",
        "bf_models.zoo.preact.PreactBody",
        "bf_models.zoo.resnet.ResNetBody",
        "bf_models.zoo.resnext.ResNeXt50",
        "bf_models.zoo.senet.SEResNet50",
        "bf_models.zoo.vgg.VGGBody",
    ],
    "bf_pipeline": ["bf_pipeline.checkpoint.latest", "bf_pipeline.interop.to_tf_dataset"],
    "bf_research": [
        "bf_research.domain.Domain",
        "bf_research.domain.Option",
        "bf_research.launcher.early.EarlyWorkers",
        "bf_research.launcher.errors.WorkerDied",
        "bf_research.launcher.report",
        "bf_research.launcher.stopping",
        "bf_research.launcher.where",
        "bf_research.research.Research",
        "bf_research.tracking.CSVTracker",
        "bf_research.tracking.MLflowTracker",
        "bf_research.tracking.NoTracker",
        "bf_research.tracking.callback.SweepTracking",
        "bf_research.tracking.replay",
        "bf_research.tracking.replay.replay",
        "bf_research.train.train",
        "bf_research.train.Outcome",
    ],
    "hydra_plugins": [
        "hydra_plugins.bf_launcher.gpu_launcher.GpuLauncher",
        "hydra_plugins.bf_searchpath.searchpath.BatchFlowSearchPath",
        "hydra_plugins.bf_sweeper.domain_sweeper.DomainSweeper",
    ],
}


@pytest.mark.parametrize("name", [name for names in KEPT.values() for name in names])
def test_a_kept_name_is_found(name: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name
