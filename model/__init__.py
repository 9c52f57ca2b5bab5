"""The offline trainer: groups of sentences in, a bundle out. The service imports `model.contract`, and the settings."""
