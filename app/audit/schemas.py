"""What clients get of the audit log."""

from datetime import datetime

from app.schemas import Answer


class AuditAnswer(Answer):
    """A change that somebody ordered.

    Attributes:
        caller: `key ID`, `admin key` for the one in SAMESAY_API_KEY, `anonymous`, or `command line`.
        action: operationId of the route, or the name of the command.
        target: Id of what it was done to, or of the job that is to do it: a key, a job, a group, an encoder.
        request_id: As in the answer's X-Request-ID; null for commands.
    """

    at: datetime
    caller: str
    action: str
    collection: str | None
    target: str | None
    status: int
    request_id: str | None
