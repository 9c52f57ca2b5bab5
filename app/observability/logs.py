"""Logs as events with fields, one JSON line each."""

import logging
import sys

import structlog
from structlog.typing import Processor


def configure_logging(level: str) -> None:
    """Write events, and the warnings of libraries, as JSON lines to stderr; stdout is for what a command prints."""
    fields: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    as_line = structlog.processors.JSONRenderer(ensure_ascii=False)
    structlog.configure(
        processors=[*fields, as_line],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    libraries = logging.StreamHandler(sys.stderr)
    libraries.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *fields],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, as_line],
        )
    )
    logging.basicConfig(handlers=[libraries], level=logging.WARNING)
