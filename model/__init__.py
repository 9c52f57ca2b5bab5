"""The offline trainer: groups of sentences in, a bundle out. The service may import only `model.contract`."""
