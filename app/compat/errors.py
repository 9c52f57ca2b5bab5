"""Errors that only the routes of other servers have."""

from app.errors import BodyTooLargeError, NotFoundError, UnavailableError


class ModelNotFoundError(NotFoundError):
    """No encoder has the name that a request calls a model."""

    code, title = "model_not_found", "Model not found"


class NoModelError(UnavailableError):
    """A route that names no model, and no encoder that could be it."""

    code, title, retry_after_s = "no_model", "No model", 30


class TooLongError(BodyTooLargeError):
    """A text is longer than the encoder looks at, and the client does not want it cut."""

    code, title = "text_too_long", "Text too long"
