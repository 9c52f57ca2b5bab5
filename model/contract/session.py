"""A session of ONNX Runtime, set up as every one of an encoder's graphs needs it."""

from pathlib import Path

import onnxruntime

from model.contract.errors import BundleDamagedError


def open_session(graph: Path | bytes, name: str) -> onnxruntime.InferenceSession:
    """Load a graph, to be run on the CPU.

    Args:
        graph: Its path, or its bytes, which the session keeps.
        name: What the error calls it.

    Raises:
        BundleDamagedError: It cannot be loaded.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # calls run in parallel
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # one plan is kept for every shape ever seen: memory would grow
    options.enable_cpu_mem_arena = False  # it keeps what the largest call took, for each session, and is no faster
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    content = graph if isinstance(graph, bytes) else str(graph)
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises pybind classes without a common public base
        raise BundleDamagedError(f"{name} cannot be loaded: {error}") from error
