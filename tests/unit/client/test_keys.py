"""The key that is sent: as it was printed, and never told in an error."""

import httpx
import pytest

from samesay import AsyncClient, Client


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (None, None),
        ("", None),
        (" \n", None),
        ("sms_id_hush", "Bearer sms_id_hush"),
        ("sms_id_hush\n", "Bearer sms_id_hush"),
        ("\tsms_id_hush \r\n", "Bearer sms_id_hush"),
    ],
)
def test_white_space_around_a_key_is_not_of_it(given: str | None, sent: str | None) -> None:
    """Read from a file it ends with a newline; servers take SAMESAY_API_KEY so too."""
    seen: list[str | None] = []

    def answering(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("Authorization"))
        return httpx.Response(204)

    with Client("http://h", api_key=given, http=httpx.Client(transport=httpx.MockTransport(answering))) as client:
        client.collection("faq").delete()
    assert seen == [sent]


@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize("key", ["hush\nhush", "hush\0", "clé hush"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_repeated(client: type, key: str) -> None:
    with pytest.raises(ValueError, match="api_key has a character that no header may have") as refused:
        client("http://h", api_key=key)
    assert "hush" not in str(refused.value)
