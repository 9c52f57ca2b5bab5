"""Bundles on disk: every damage is found and named, whole files are replaced at once."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from model.contract.bundle import load_bundle, read_manifest
from model.contract.errors import BundleDamagedError, BundleMissingError, BundleVersionError, SelfTestError
from model.contract.normalise import CJK, normalise, script_runs
from model.export.probe import probe_sentences
from tests.fakes.changed_bundle import replace_file

GRAPHS = ["encoder.onnx", "tokens.onnx", "sentences.onnx"]
ARRAYS = ["grams.npy", "frequencies.npy", "head.npy", "prior.npy"]
FILES = [*GRAPHS, *ARRAYS, "text.json", "vocab.txt", "probe.json", "labels.json"]


@pytest.fixture
def copy(smoke_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(smoke_bundle, tmp_path / "bundle"))


def test_a_sound_bundle_loads_and_answers(smoke_bundle: Path) -> None:
    bundle = load_bundle(smoke_bundle)
    assert sorted(path.name for path in smoke_bundle.iterdir()) == sorted([*FILES, "manifest.json"])
    assert bundle.encoder.encode(["怎么退款", "refund"]).shape == (2, bundle.manifest.dim)
    assert bundle.head is not None
    assert len(bundle.head.labels) == bundle.manifest.n_labels == 40
    np.testing.assert_allclose(np.linalg.norm(bundle.head.weights, axis=1), 1, atol=1e-6)
    assert bundle.manifest.languages == ("en", "zh")
    assert len(json.loads((smoke_bundle / "probe.json").read_text())) == 32


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
def test_every_damaged_file_is_named(copy: Path, name: str, damage: str) -> None:
    path = copy / name
    content = bytearray(path.read_bytes())
    if damage == "delete":
        path.unlink()
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content if damage == "flip" else content[:-1])
    with pytest.raises(BundleDamagedError, match=name):
        load_bundle(copy)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"[1]", b'[{"text": "a", "ids": [], "vector": [1]}]', b"\xff"])
@pytest.mark.parametrize("name", [*GRAPHS, *ARRAYS, "text.json", "probe.json", "labels.json"])
def test_what_no_exporter_wrote_is_damaged_though_the_manifest_agrees(copy: Path, name: str, content: bytes) -> None:
    replace_file(copy / name, content)
    with pytest.raises(BundleDamagedError):
        load_bundle(copy)


def test_a_vocabulary_of_another_encoding_is_damaged(copy: Path) -> None:
    replace_file(copy / "vocab.txt", "退款".encode("gb18030"))
    with pytest.raises(BundleDamagedError, match=r"vocab\.txt is not UTF-8"):
        load_bundle(copy)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema_version": 1}'])
def test_an_unreadable_manifest(copy: Path, content: bytes) -> None:
    (copy / "manifest.json").write_bytes(content)
    with pytest.raises(BundleDamagedError, match=r"manifest.json is not readable"):
        load_bundle(copy)


def rewrite(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}))


def test_another_format_is_refused_by_version(copy: Path) -> None:
    rewrite(copy, schema_version=7)
    with pytest.raises(BundleVersionError, match="schema_version 7, this samesay reads 1"):
        load_bundle(copy)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", ".hidden"])
def test_a_manifest_that_reaches_outside_is_refused(copy: Path, name: str) -> None:
    files = json.loads((copy / "manifest.json").read_text())["files"]
    rewrite(copy, files={name: files["text.json"], **files})
    with pytest.raises(BundleDamagedError, match="not a plain file name"):
        load_bundle(copy)


def test_a_wrong_dim_is_refused(copy: Path) -> None:
    rewrite(copy, dim=7)
    with pytest.raises(BundleDamagedError, match="has dim 32, the manifest says 7"):
        load_bundle(copy)


def test_the_probe_catches_an_encoder_that_answers_differently(copy: Path) -> None:
    probe = json.loads((copy / "probe.json").read_text())
    probe[5]["vector"][0] += 0.01
    content = json.dumps(probe).encode()
    (copy / "probe.json").write_bytes(content)
    _resign(copy, "probe.json", content)
    with pytest.raises(SelfTestError, match="a probe vector is off by"):
        load_bundle(copy)


def test_a_bundle_holds_no_sentence_that_somebody_wrote(smoke_bundle: Path, small_data: Path) -> None:
    """Sentences of one token are words of the vocabulary, which stays until the encoder goes (ADR 16)."""
    rows = [line.split("\t")[2] for line in small_data.read_text().splitlines()[1:]]
    sentences = {text for text in rows if len(script_tokens(text)) > 1}
    assert len(sentences) > 100
    for path in smoke_bundle.iterdir():
        content = path.read_bytes()
        held = [text for text in sentences if text.encode() in content or json.dumps(text)[1:-1].encode() in content]
        assert (path.name, held) == (path.name, [])


def script_tokens(text: str) -> list[str]:
    return [token for kind, run in script_runs(normalise(text)) for token in (run if kind == CJK else [run])]


@pytest.mark.parametrize("vocabulary", [(), ("退",), ("refund", "?"), ("怎", "么", "退", "款", "can't", "refund", "3")])
def test_the_probe_is_made_of_the_vocabulary_alone(vocabulary: tuple[str, ...]) -> None:
    sentences = probe_sentences(vocabulary)
    assert sentences == probe_sentences(vocabulary)
    made_up = sentences[8:]
    assert [len(script_tokens(text)) for text in made_up] == list(range(1, 25) if vocabulary else [])
    assert {token for text in made_up for token in script_tokens(text)} == set(vocabulary)


@pytest.mark.parametrize("name", GRAPHS)
def test_the_probe_catches_another_graph(copy: Path, name: str) -> None:
    """Its weights differ by a thousandth here and there; nothing else does, and the manifest fits."""
    path = copy / name
    graph = onnx.load(path)
    largest = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weights = onnx.numpy_helper.to_array(largest)
    changed = (weights + np.random.default_rng(1).normal(0, 0.01, weights.shape)).astype(weights.dtype)
    largest.CopyFrom(onnx.numpy_helper.from_array(changed, largest.name))
    path.write_bytes(graph.SerializeToString())
    _resign(copy, name, path.read_bytes())
    with pytest.raises(SelfTestError, match="a probe vector is off by"):
        load_bundle(copy)


def _resign(folder: Path, name: str, content: bytes) -> None:
    import hashlib

    files = json.loads((folder / "manifest.json").read_text())["files"]
    rewrite(folder, files={**files, name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}})


def test_the_sha_is_that_of_the_manifest(smoke_bundle: Path, copy: Path) -> None:
    assert read_manifest(smoke_bundle)[1] == read_manifest(copy)[1]
    rewrite(copy, seed=5)
    assert read_manifest(smoke_bundle)[1] != read_manifest(copy)[1]


def test_a_bundle_without_graphs_for_many_sentences_encodes_them_as_it_does_few(smoke_bundle: Path, copy: Path) -> None:
    """As all were that an earlier samesay exported."""
    files = json.loads((copy / "manifest.json").read_text())["files"]
    rewrite(copy, files={name: entry for name, entry in files.items() if name not in GRAPHS[1:]})
    for name in GRAPHS[1:]:
        (copy / name).unlink()
    sentences = [f"refund {number} 退款" for number in range(300)]
    old, new = load_bundle(copy).encoder, load_bundle(smoke_bundle).encoder
    assert old.many is None
    assert new.many is not None
    np.testing.assert_allclose(old.encode(sentences), new.encode(sentences), atol=1e-6, rtol=0)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(BundleMissingError, match="holds no bundle"):
        load_bundle(tmp_path / "none")
