"""The registered encoders."""

from samesay.answers import Encoder, Page
from samesay.calls import Call, asking, path
from samesay.operations import Resource, X, listing, operation
from samesay.paging import pages
from samesay.plans import Items


class Encoders(Resource[X]):
    """The registered encoders; `samesay encoders add` registers them, beside the server."""

    @operation
    def get(self, name_or_sha: str) -> Call[Encoder]:
        """One encoder."""
        return asking("GET", path("v1", "encoders", name_or_sha), Encoder)

    @listing
    def list(self) -> Items[Encoder]:
        """All encoders, by name."""
        return pages(asking("GET", path("v1", "encoders"), Page[Encoder]), self._transport.retries)
