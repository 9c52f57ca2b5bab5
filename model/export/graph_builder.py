"""Collecting the nodes and stored tensors of an ONNX graph."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET: Final = 17
_IR_VERSION: Final = 8

Storage = Literal["float32", "float16"]

Shape = Sequence[str | int]
Inputs = dict[str, tuple[int, Shape]]
"""Element types are TensorProto's."""
Outputs = Mapping[str, Shape]


class GraphBuilder:
    """Collects nodes and stored tensors, and names them."""

    def __init__(self, storage: Storage, prefix: str = "") -> None:
        self._storage = storage
        self._prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Append a node; returns the name of its last output."""
        names = [f"{self._prefix}{operator.lower()}_{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names[-1]

    def integers(self, values: Sequence[int] | NDArray[np.int64] | int) -> str:
        """A constant of int64."""
        return self._store(np.array(values, np.int64))

    def numbers(self, values: NDArray[np.float32] | float) -> str:
        """A constant of float32, whatever the storage format."""
        return self._store(np.array(values, np.float32))

    def weights(self, parameter: NDArray[np.float32]) -> str:
        """A trained tensor in the storage format; ONNX Runtime folds the cast when it loads the graph."""
        if self._storage == "float32":
            return self._store(parameter)
        return self.add("Cast", self._store(parameter.astype(np.float16)), to=TensorProto.FLOAT)

    def rows(self, parameter: NDArray[np.float32], indices: str) -> str:
        """Rows of a trained table in the storage format, which it keeps in memory as well."""
        if self._storage == "float32":
            return self.add("Gather", self._store(parameter), indices)
        return self.add(
            "Cast", self.add("Gather", self._store(parameter.astype(np.float16)), indices), to=TensorProto.FLOAT
        )

    def _store(self, values: NDArray[Any]) -> str:
        name = f"stored_{len(self.initialisers)}"
        self.initialisers.append(numpy_helper.from_array(values, name))
        return name

    def rename(self, output: str, to: str) -> None:
        """Give what a node puts out its name in the graph's signature."""
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [to if name == output else name for name in names]

    def inner(self, name: str) -> "GraphBuilder":
        """A builder of a graph inside this one: it may use what this one has put out and stored."""
        return GraphBuilder(self._storage, f"{name}_")

    def body(self, inputs: Inputs, outputs: Outputs) -> onnx.GraphProto:
        """The graph as it is; see `finish`."""
        return helper.make_graph(
            self.nodes,
            self._prefix or "graph",
            [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
            self.initialisers,
        )

    def finish(self, inputs: Inputs, outputs: Outputs) -> bytes:
        """Check and serialise the graph.

        Args:
            inputs: Name to element type and shape, in order.
            outputs: Name to shape; all are float32.
        """
        model = helper.make_model(
            self.body(inputs, outputs),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=_IR_VERSION,
            producer_name="samesay",
        )
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())
