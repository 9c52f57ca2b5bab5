"""The yardstick: FastAPI with one route that returns bytes, served as samesay is."""

import socket

import uvicorn
from fastapi import FastAPI, Response

BODY = b"x" * 1200
"""About as long as an answer of ten neighbours."""

app = FastAPI()


@app.post("/bytes")
async def answer() -> Response:
    """Return bytes."""
    return Response(BODY, media_type="application/json")


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"port {listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning")).run(sockets=[listener])
