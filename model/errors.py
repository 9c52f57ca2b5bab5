"""Errors of the trainer, drawn as a tree.

SamesayError (model.contract.errors)
 +- ConfigError        a recipe or setting is not usable; names the nearest valid one
 +- TrainingError      a run cannot go on
     +- CallbackError  a callback of the user's own has failed
     +- RunFolderError the run folder is taken, cannot be written, or holds no run to resume
     +- DivergedError  the loss is no number any more; names the batch
     +- ParityError    the exported graph does not answer like the trained encoder
"""

from model.contract.errors import SamesayError


class ConfigError(SamesayError):
    """A recipe or setting is not usable."""


class TrainingError(SamesayError):
    """A run cannot go on."""


class RunFolderError(TrainingError):
    """The run folder is taken, cannot be written, or holds no run to resume."""


class CallbackError(TrainingError):
    """A callback of the user's own has failed."""


class DivergedError(TrainingError):
    """The loss is no number any more."""


class ParityError(TrainingError):
    """The exported graph does not answer like the trained encoder."""
