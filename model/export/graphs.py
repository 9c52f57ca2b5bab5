"""All graphs of a trained encoder: one for few sentences, and, where its kind allows it, two for many."""

from dataclasses import dataclass

from model.contract import manifest as names
from model.contract.many_encoder import ManyEncoder, ManyGraphs
from model.contract.onnx_encoder import OnnxEncoder
from model.contract.text import TextContract
from model.encoder import SentenceEncoder
from model.export.graph import build_graph
from model.export.graph_builder import Storage
from model.export.many_graphs import build_many_graphs


@dataclass(frozen=True, slots=True)
class Graphs:
    """Serialised graphs of one encoder."""

    few: bytes
    many: tuple[bytes, bytes] | None
    """Of the tokens, and of the sentences."""

    def files(self) -> dict[str, bytes]:
        """By the names that they have in a bundle."""
        if self.many is None:
            return {names.ENCODER_FILE: self.few}
        tokens, sentences = self.many
        return {names.ENCODER_FILE: self.few, names.TOKENS_FILE: tokens, names.SENTENCES_FILE: sentences}

    def open(self, contract: TextContract) -> OnnxEncoder:
        """An encoder that runs them."""
        return OnnxEncoder(contract, self.few, many=ManyEncoder(ManyGraphs(*self.many)) if self.many else None)


def to_onnx(encoder: SentenceEncoder, contract: TextContract, storage: Storage) -> tuple[Graphs, OnnxEncoder]:
    """The graphs of an encoder, and an encoder that runs them.

    With float16 storage the encoder's own weights are rounded as the files' are: parity then compares like with like.
    """
    if storage == "float16":
        encoder.half().float()
    graphs = Graphs(build_graph(encoder, storage), build_many_graphs(encoder, storage))
    return graphs, graphs.open(contract)
