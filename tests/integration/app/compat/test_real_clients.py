"""The clients themselves, over a real socket, against what the encoder says; those not installed are skipped."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import add_encoder
from tests.fakes.running import Running, make_settings, running
from tests.fakes.vectors import ROUNDING, encoded, n_tokens

pytestmark = pytest.mark.filterwarnings("ignore")  # of theirs

KEY = "a key of this test"
TEXTS = ["I want my money back", "我要退款", "where is my parcel?"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[Running]:
    """A service with a key."""
    settings = make_settings(tmp_path_factory.mktemp("clients") / "data", api_key=KEY)
    add_encoder(settings, tiny_bundle)
    with running(settings) as started:
        yield started


@pytest.fixture(scope="module")
def expected(tiny_bundle: Path) -> NDArray[np.float32]:
    return encoded(tiny_bundle, TEXTS)


def assert_same(found: Any, expected: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(np.array(found, np.float32), expected, atol=ROUNDING)


def test_openai(service: Running, expected: NDArray[np.float32], tiny_bundle: Path) -> None:
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key=KEY, max_retries=0) as client:
        found = client.embeddings.create(model="tiny", input=TEXTS)  # asks for base64 by itself
        assert_same([one.embedding for one in found.data], expected)
        assert found.usage.total_tokens == n_tokens(tiny_bundle, TEXTS)
        as_numbers = client.embeddings.create(model="tiny", input=TEXTS[0], encoding_format="float")
        assert_same(as_numbers.data[0].embedding, expected[0])
        assert [model.id for model in client.models.list()] == ["tiny"]
        assert client.models.retrieve("tiny").owned_by == "samesay"


def test_openai_raises_its_own_errors(service: Running) -> None:
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key=KEY, max_retries=0) as client:
        with pytest.raises(openai.NotFoundError, match="there is no encoder 'gpt'") as missing:
            client.embeddings.create(model="gpt", input="x")
        assert (missing.value.code, missing.value.type) == ("model_not_found", "invalid_request_error")
        with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False") as wrong:
            client.embeddings.create(model="tiny", input=[1, 2, 3])
        assert wrong.value.param == "input"
        assert wrong.value.request_id
    with (
        openai.OpenAI(base_url=f"{service.url}/v1", api_key="wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.models.list()


def test_openai_asynchronously(service: Running, expected: NDArray[np.float32]) -> None:
    openai = pytest.importorskip("openai")

    async def ask() -> Any:
        async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key=KEY) as client:
            return await asyncio.gather(*(client.embeddings.create(model="tiny", input=text) for text in TEXTS))

    assert_same([found.data[0].embedding for found in asyncio.run(ask())], expected)


def test_langchain(service: Running, expected: NDArray[np.float32]) -> None:
    embeddings = pytest.importorskip("langchain_openai").OpenAIEmbeddings(
        model="tiny", base_url=f"{service.url}/v1", api_key=KEY, check_embedding_ctx_length=False
    )
    assert_same(embeddings.embed_documents(TEXTS), expected)
    assert_same(embeddings.embed_query(TEXTS[1]), expected[1])


def test_llama_index_by_openai(service: Running, expected: NDArray[np.float32]) -> None:
    embedding = pytest.importorskip("llama_index.embeddings.openai").OpenAIEmbedding(
        model_name="tiny", api_base=f"{service.url}/v1", api_key=KEY
    )
    assert_same(embedding.get_text_embedding_batch(TEXTS), expected)
    assert_same(embedding.get_query_embedding(TEXTS[1]), expected[1])


def test_llama_index_by_tei(service: Running, expected: NDArray[np.float32]) -> None:
    embedding = pytest.importorskip("llama_index.embeddings.text_embeddings_inference").TextEmbeddingsInference(
        model_name="tiny", base_url=service.url, auth_token=KEY
    )
    assert_same(embedding.get_text_embedding_batch(TEXTS), expected)
    assert_same(asyncio.run(embedding.aget_query_embedding(TEXTS[1])), expected[1])


def test_haystack(service: Running, expected: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")
    embedders = pytest.importorskip("haystack.components.embedders")
    haystack = pytest.importorskip("haystack")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    options = {"model": "tiny", "api_base_url": f"{service.url}/v1"}
    documents = [haystack.Document(content=text) for text in TEXTS]
    found = embedders.OpenAIDocumentEmbedder(**options).run(documents)["documents"]
    assert_same([document.embedding for document in found], expected)
    assert_same(embedders.OpenAITextEmbedder(**options).run(TEXTS[1])["embedding"], expected[1])


def test_huggingface_hub(service: Running, expected: NDArray[np.float32]) -> None:
    client = pytest.importorskip("huggingface_hub").InferenceClient(service.url, token=KEY)
    assert_same(client.feature_extraction(TEXTS), expected)
    assert_same(client.feature_extraction(TEXTS[1], normalize=True, truncate=True), expected[1:2])
    scores = client.sentence_similarity(TEXTS[0], TEXTS[1:], model=f"{service.url}/similarity")
    assert_same(scores, expected[1:] @ expected[0])
