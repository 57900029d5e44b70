"""Pipelines from YAML: steps as data, and the resolvers that stand for expressions in configs."""
