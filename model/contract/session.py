"""A session of ONNX Runtime, set up as every one of an encoder's graphs needs it."""

from collections.abc import Sequence
from pathlib import Path

import onnxruntime

from model.contract.errors import BundleDamagedError


def open_session(
    graph: Path | bytes, name: str, *, threads: int = 1, providers: Sequence[str] = ("CPUExecutionProvider",)
) -> onnxruntime.InferenceSession:
    """Load a graph.

    Args:
        graph: Its path, or its bytes, which the session keeps.
        name: What the error calls it.
        threads: Threads inside one call; 1 is best where calls run in parallel.
        providers: ONNX Runtime's execution providers, best first.

    Raises:
        BundleDamagedError: It cannot be loaded.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # one plan is kept for every shape ever seen: memory would grow
    options.enable_cpu_mem_arena = False  # it keeps what the largest call took, for each session, and is no faster
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    content = graph if isinstance(graph, bytes) else str(graph)
    try:
        return onnxruntime.InferenceSession(content, options, providers=list(providers))
    except Exception as error:  # ONNX Runtime raises pybind classes without a common public base
        raise BundleDamagedError(f"{name} cannot be loaded: {error}") from error
