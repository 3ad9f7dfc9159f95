"""An OpenAI-compatible server in a thread: it answers as told, and notes what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, Any]  # status and body; bytes are sent as they stand
HUNG_UP = 0  # as a status: no answer at all
Chat = Callable[[dict[str, Any]], Answer]


def said(text: str, finish: str = "stop", **choice: Any) -> Answer:
    """A chat completion of one choice."""
    message = {"role": "assistant", "content": text}
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
    return 200, {**body, "choices": [{"index": 0, "message": message, "finish_reason": finish, **choice}]}


def fault(status: int, message: str) -> Answer:
    return status, {"error": {"message": message, "type": "fault", "code": status}}


@dataclass
class FakeServer:
    """What it serves and what it was asked."""

    chat: Chat
    models: list[dict[str, Any]]
    url: str = ""
    key: str | None = None
    gone: bool = False
    requests: list[dict[str, Any]] = field(default_factory=list)
    loaded: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    load: Callable[[dict[str, Any]], Answer] = lambda body: (200, "Success")

    def answer(self, method: str, path: str, body: dict[str, Any], authorization: str) -> Answer:
        if self.gone:
            return HUNG_UP, None
        if self.key is not None and authorization != f"Bearer {self.key}":
            return fault(401, f"Incorrect API key provided: {authorization}")
        if (method, path) == ("GET", "/v1/models"):
            return 200, {"object": "list", "data": self.models}
        if path in ("/v1/load_lora_adapter", "/v1/unload_lora_adapter"):
            self.loaded.append((path.removeprefix("/v1/"), body))
            return self.load(body)
        if path != "/v1/chat/completions":
            return 404, {"detail": "Not Found"}
        self.requests.append(body)
        return self.chat(body)


@contextmanager
def serve(chat: Chat, *names: str, key: str | None = None, **values: Any) -> Iterator[FakeServer]:
    """Serve models of these names, each with the fields `values`, on a free port."""
    fake = FakeServer(chat, [{"id": name, "object": "model", **values} for name in names], key=key)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.reply("GET", {})

        def do_POST(self) -> None:
            self.reply("POST", json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def reply(self, method: str, body: dict[str, Any]) -> None:
            status, answer = fake.answer(method, self.path, body, self.headers.get("Authorization", ""))
            if status == HUNG_UP:
                self.close_connection = True
                return
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if data.startswith(b"<") else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
