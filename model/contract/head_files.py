"""The head of a bundle as files: head.npy, labels.json, and prior.npy or words.npz where there is such a part."""

import json
from collections.abc import Mapping
from io import BytesIO
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from model.contract import manifest as names
from model.contract.deciding.head import Head, LabelHead
from model.contract.deciding.word_scores import WordScores
from model.contract.errors import BundleDamagedError
from model.contract.manifest import HeadKind, Manifest


def head_kind(head: Head | LabelHead | None) -> HeadKind | None:
    """What the manifest calls it."""
    if head is None:
        return None
    return HeadKind.SIGMOID if isinstance(head, LabelHead) else HeadKind.SOFTMAX


def head_files(head: Head | LabelHead) -> dict[str, bytes]:
    """The head's files.

    Class vectors are kept in float16, which moves a cosine by less than 1e-3; a label head's rows, which are not of
    unit length, in float32 with the bias as last column.
    """
    if isinstance(head, LabelHead):
        array: NDArray[np.generic] = np.column_stack([head.weights, head.bias]).astype(np.float32)
    else:
        array = head.weights.astype(np.float16)
    files = {
        names.HEAD_FILE: npy(array),
        names.LABELS_FILE: json.dumps(head.labels, ensure_ascii=False).encode(),
    }
    if isinstance(head, Head) and head.prior is not None:
        files[names.PRIOR_FILE] = npy(head.prior.astype(np.float32))
    if isinstance(head, LabelHead) and head.words is not None:
        files[names.WORDS_FILE] = _words_file(head.words)
    return files


def read_head(manifest: Manifest, contents: Mapping[str, bytes]) -> Head | LabelHead | None:
    """The head from the verified contents of its files.

    Raises:
        BundleDamagedError: A file is missing or unreadable, or the shapes contradict one another.
    """
    if manifest.head is None:
        return None
    try:
        array = _array(contents[names.HEAD_FILE])
        labels = tuple(json.loads(contents[names.LABELS_FILE]))
        prior = _array(contents[names.PRIOR_FILE]) if names.PRIOR_FILE in contents else None
        words = _read_words(contents[names.WORDS_FILE]) if names.WORDS_FILE in contents else None
    except (KeyError, ValueError, EOFError, BadZipFile) as error:
        raise BundleDamagedError(f"the head cannot be read: {error!r}") from error
    has_bias = manifest.head is HeadKind.SIGMOID
    if array.shape != (len(labels), manifest.dim + has_bias):
        raise BundleDamagedError(f"head of shape {array.shape} for {len(labels)} labels and dim {manifest.dim}")
    if prior is not None and not (prior.shape == (len(labels),) and (prior > 0).all()):
        raise BundleDamagedError(f"{names.PRIOR_FILE} of shape {prior.shape} must hold a share above 0 for each label")
    if words is not None and words.weights.shape != (len(words.idf), len(labels)):
        raise BundleDamagedError(f"{names.WORDS_FILE}: weights of shape {words.weights.shape}, {len(labels)} labels")
    if has_bias:
        return LabelHead(labels, np.ascontiguousarray(array[:, :-1]), array[:, -1].copy(), words)
    return Head(labels, array / np.linalg.norm(array, axis=1, keepdims=True), manifest.head_scale, prior)


def _words_file(words: WordScores) -> bytes:
    """Weights in float16, which moves a score by less than 1e-3 of the largest of them."""
    buffer = BytesIO()
    shape = np.array([words.n_ids, words.buckets], np.int64)
    np.savez(buffer, shape=shape, rows=words.rows, idf=words.idf, weights=words.weights.astype(np.float16))
    return buffer.getvalue()


def _read_words(content: bytes) -> WordScores:
    with np.load(BytesIO(content), allow_pickle=False) as file:
        n_ids, buckets = file["shape"].tolist()
        return WordScores(n_ids, buckets, file["rows"], file["idf"], file["weights"].astype(np.float32))


def npy(array: NDArray[np.generic]) -> bytes:
    """An array as a file holds it."""
    buffer = BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _array(content: bytes) -> NDArray[np.float32]:
    return np.asarray(np.load(BytesIO(content), allow_pickle=False), np.float32)
