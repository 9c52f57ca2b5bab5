"""The lexical start against scikit-learn's TF-IDF and truncated SVD, and against what it is for."""

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from model.config import Config
from model.contract.text import TextConfig, TextContract
from model.data.features import FeatureTable
from model.encoder import SentenceEncoder
from model.encoding import encode_all
from model.lexical_start import start_from_words

WORDS = [f"{a}{b}" for a in "bcdfg" for b in ("ax", "ey", "io", "um")]


def make(seed: int = 0) -> tuple[SentenceEncoder, TextContract, list[str]]:
    """An encoder whose grams are one to a word and in no two words, so that they count as the words do."""
    torch.manual_seed(0)
    rng = np.random.default_rng(1)
    sentences = [" ".join(rng.choice(WORDS, rng.integers(2, 9))) for _ in range(60)]
    contract = TextContract(TextConfig(buckets=2**14, word_grams=(5, 5)), sorted(WORDS))
    encoder = SentenceEncoder(contract.n_ids, Config(word_dim=24, hidden_size=8, buckets=2**14))
    start_from_words(encoder, [contract.tokenise(sentence) for sentence in sentences], seed)
    return encoder, contract, sentences


def test_bags_have_the_cosines_of_tf_idf() -> None:
    """Twenty words, so 24 directions lose nothing: a bag is the TF-IDF row in another basis."""
    encoder, contract, sentences = make()
    assert encoder.grams is not None
    token_rows, gram_rows = (table.weight.detach().numpy() for table in (encoder.tokens, encoder.grams))
    bags = []
    for sentence in sentences:
        tokens = contract.tokenise(sentence)
        grams = np.frombuffer(b"".join(tokens.grams), np.int32)
        bag = token_rows[tokens.ids].sum(axis=0) + gram_rows[grams].sum(axis=0)
        bags.append(bag / np.linalg.norm(bag))
    rows = TfidfVectorizer().fit_transform(sentences)
    np.testing.assert_allclose(np.stack(bags) @ np.stack(bags).T, (rows @ rows.T).toarray(), atol=1e-4)


def test_token_rows_that_no_sentence_holds_are_zero_and_the_scale_is_kept() -> None:
    encoder, contract, sentences = make()
    used = {number for sentence in sentences for number in contract.tokenise(sentence).ids}
    norms = encoder.tokens.weight.detach().norm(dim=1)
    assert all((norms[number] > 0) == (number in used) for number in range(contract.n_ids))
    assert encoder.grams is not None
    grams = encoder.grams.weight.detach()
    seen = {
        row for sentence in sentences for row in np.frombuffer(b"".join(contract.tokenise(sentence).grams), np.int32)
    }
    is_seen = torch.tensor([row in seen for row in range(len(grams))])
    rows = torch.cat([encoder.tokens.weight.detach()[norms > 0], grams[is_seen]])
    assert abs(float(rows.std()) - 0.1) < 0.01
    assert not grams[0].any()  # no gram
    assert abs(float(grams[1:][~is_seen[1:]].std()) - 0.001) < 1e-4


def test_texts_of_nothing_that_was_seen_have_vectors_of_their_own() -> None:
    encoder, contract, _ = make()
    table = FeatureTable(contract.tokenise(text) for text in ("zzzqq", "vvvww", "zzzqq", "bax zzzqq", "bax"))
    first, second, again, beside, alone = encode_all(encoder, table)
    assert first @ second < 0.9
    assert first @ again > 0.99999
    assert beside @ alone > first @ second


def test_the_start_is_seeded() -> None:
    first, again, other = make(0)[0], make(0)[0], make(1)[0]
    assert torch.equal(first.tokens.weight, again.tokens.weight)
    assert not torch.equal(first.tokens.weight, other.tokens.weight)
