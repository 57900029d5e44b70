"""Training and prediction: from what is fed to what is fetched, by steps that change weights."""
