"""What a configuration becomes: data, pipelines, parts and folders of a training."""
