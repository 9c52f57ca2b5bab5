"""Errors of the contract, drawn as a tree.

SamesayError                 anything samesay raises on purpose; str(error) is fit for a user
 +- DatasetError             a training or import file cannot be used
 +- BundleError              a bundle cannot be used
     +- BundleMissingError   there is no bundle at the path
     +- BundleDamagedError   a file is missing, altered or unreadable
     +- BundleVersionError   made by a version of samesay that this one cannot read
     +- SelfTestError        the bundle does not reproduce its own probe on this machine
 +- RuntimeMissingError      ONNX Runtime or FAISS is missing, or two builds of one are installed
"""


class SamesayError(Exception):
    """Base of every error that samesay raises on purpose; its message names the value and the remedy."""


class DatasetError(SamesayError):
    """A training or import file cannot be used."""


class BundleError(SamesayError):
    """A bundle cannot be used."""


class BundleMissingError(BundleError):
    """There is no bundle at the path."""


class BundleDamagedError(BundleError):
    """A file of the bundle is missing, altered or unreadable."""


class BundleVersionError(BundleError):
    """The bundle was written in a format that this version cannot read."""


class SelfTestError(BundleError):
    """The bundle does not reproduce its own probe on this machine."""


class RuntimeMissingError(SamesayError):
    """ONNX Runtime or FAISS is missing, or two builds of one are installed over each other."""
