"""What clients send and get about imports and exports."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from app.schemas import Strict


class ExportForm(StrEnum):
    """What an export is written as."""

    PARQUET = "parquet"
    NDJSON = "ndjson"


class ExportRequest(Strict):
    """What to export.

    Attributes:
        vectors: Each record's embedding by the active release's encoder.
    """

    format: Annotated[ExportForm, Field(strict=False)] = ExportForm.NDJSON
    vectors: bool = Field(default=False, description="with each record's embedding, by the encoder that serves now")
