"""The Python client of a samesay server.

    from samesay import Client

    with Client("http://127.0.0.1:8765", api_key=...) as client:
        print(client.collection("faq").classify("how do I get my money back").results[0].decision)

`AsyncClient` has the same methods, to be awaited. Errors are in `samesay.errors`, answers in `samesay.answers`.
"""

from samesay.client import AsyncClient, Client
from samesay.collection import Collection
from samesay.jobs import Job
from samesay.sending import Retries

__all__ = ["AsyncClient", "Client", "Collection", "Job", "Retries"]
