"""Everything the index raises.

VectorIndexError
├── InvalidInputError           the caller's arguments; nothing was changed
│   ├── WrongDimError           vectors of another width than the index's
│   ├── InvalidVectorError      not a matrix of finite unit rows
│   ├── InvalidIdError          negative, repeated, or not as many as the vectors
│   ├── InvalidMaskError        `allowed` is not a one-dimensional mask
│   └── InvalidKError           fewer than one neighbour wanted
├── InvalidSpecError            a parameter that no index can be built with
├── BackendMissingError         the library behind a back end is not installed
├── DeviceError                 no such GPU, or no room on it
├── IndexServerError            an index on a server; names its address
│   ├── IndexServerAwayError    not reached, or no answer in time: worth trying again
│   ├── IndexServerRefusedError it says no: try again only with something else
│   │   └── CollectionLostError the collection is not there, not whole, or not ours
│   └── IndexServerUnsetError   vectors are on a server, and none was named
└── SnapshotError
    ├── SnapshotDamagedError    a file is missing, short or changed; names it
    ├── SnapshotTakenError      there is one of that name, whole, with other rows
    ├── SnapshotVersionError    written by another version of the format
    └── WrongEncoderError       made by another encoder; names both
"""


class VectorIndexError(Exception):
    """Base of all; the message says what was wrong and what to do."""


class InvalidInputError(VectorIndexError):
    """An argument cannot be used; the index is as it was."""


class WrongDimError(InvalidInputError):
    """Vectors of another width than the index's."""

    def __init__(self, *, given: int, expected: int) -> None:
        super().__init__(f"vectors have {given} dimensions, the index has {expected}: encode with this index's encoder")
        self.given = given
        self.expected = expected


class InvalidVectorError(InvalidInputError):
    """Not a matrix of finite unit rows."""


class InvalidIdError(InvalidInputError):
    """A record id is negative or repeated, or there are not as many ids as vectors."""


class InvalidMaskError(InvalidInputError):
    """`allowed` is not a one-dimensional mask of booleans."""


class InvalidKError(InvalidInputError):
    """Fewer than one neighbour wanted."""


class InvalidSpecError(VectorIndexError):
    """A parameter that no index can be built with."""


class BackendMissingError(VectorIndexError):
    """The library behind a back end is not installed."""


class DeviceError(VectorIndexError):
    """The device that the index is to be on is not there, or has no room for it."""


class IndexServerError(VectorIndexError):
    """A server that holds an index does not do what it was asked for."""


class IndexServerAwayError(IndexServerError):
    """It cannot be reached, or does not answer in time."""

    def __init__(self, address: str, action: str, reason: str) -> None:
        super().__init__(
            f"the index server at {address} did not {action} ({reason}): "
            "see that it runs and that this machine reaches it, then try again"
        )


class IndexServerRefusedError(IndexServerError):
    """It refuses; the reason is its own."""

    def __init__(self, address: str, action: str, reason: str) -> None:
        super().__init__(f"the index server at {address} refused to {action}: {reason}")


class CollectionLostError(IndexServerRefusedError):
    """The collection is not there, not whole, or not of our making: it has to be built anew."""


class IndexServerUnsetError(IndexServerError):
    """Vectors are on an index server, and nobody said where that is."""

    def __init__(self, folder: str, collection: str) -> None:
        super().__init__(
            f"the vectors of snapshot {folder} are on an index server, in collection {collection}, and none is set: "
            "set SAMESAY_INDEX_SERVER, or remove the folder while no server runs, to have it built anew without one"
        )


class SnapshotError(VectorIndexError):
    """A snapshot cannot be used."""


class SnapshotDamagedError(SnapshotError):
    """A file of the snapshot is missing, short or changed."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"snapshot file {file} is damaged: {reason}; load an older snapshot, or rebuild the index")
        self.file = file
        self.reason = reason


class SnapshotTakenError(SnapshotError):
    """Another process has saved a snapshot of the same name, of a later moment or an earlier."""

    def __init__(self, folder: str) -> None:
        super().__init__(f"snapshot {folder} is there already, with other rows: load that one")


class SnapshotVersionError(SnapshotError):
    """Written by another version of the format."""


class WrongEncoderError(SnapshotError):
    """The snapshot, or the collection on a server, was made by another encoder than the one it is loaded for."""

    def __init__(self, place: str, *, found: str, found_dim: int, expected: str, expected_dim: int) -> None:
        super().__init__(
            f"{place} was made by encoder {found} (dim {found_dim}), not by {expected} (dim {expected_dim}): "
            "load it with its own encoder, or build an index for this one"
        )
        self.found = found
        self.found_dim = found_dim
        self.expected = expected
        self.expected_dim = expected_dim
