"""Which ONNX Runtime and FAISS builds are installed: exactly one of each pair must be."""

from importlib import metadata
from typing import Final

from model.contract.errors import RuntimeMissingError

_PAIRS: Final = (("onnxruntime", "onnxruntime-gpu"), ("faiss-cpu", "faiss-gpu"))


def _is_installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def check_runtimes() -> None:
    """Refuse to go on without exactly one build of ONNX Runtime and one of FAISS.

    pip does not notice: the CPU and the GPU wheel unpack into the same folder and destroy each other.

    Raises:
        RuntimeMissingError: Naming what is installed and the pip command that mends it.
    """
    for cpu, gpu in _PAIRS:
        found = [name for name in (cpu, gpu) if _is_installed(name)]
        if not found:
            raise RuntimeMissingError(
                f"neither {cpu} nor {gpu} is installed: pip install 'samesay[cpu]', or 'samesay[gpu]' with CUDA"
            )
        if len(found) == 2:
            raise RuntimeMissingError(
                f"{cpu} and {gpu} are both installed and overwrite each other: "
                f"pip uninstall -y {cpu} {gpu} && pip install --force-reinstall --no-deps {cpu} (or {gpu})"
            )
