"""Why a job stops before its end. None of these is answered over HTTP."""

from model.contract.errors import SamesayError


class JobError(SamesayError):
    """Base of them."""


class JobFailedError(JobError):
    """The job cannot succeed, however often it is tried; becomes the job's `error`.

    Attributes:
        code: Stable, for programs.
        detail: What is wrong and what to do, for people.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


class JobCancelledError(JobError):
    """Somebody wants the job to stop."""


class JobLostError(JobError):
    """Another worker has the job: this one was taken for dead, and must not change anything more."""
