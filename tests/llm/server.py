"""A chat endpoint on loopback whose answers are a function of the request, and the faults that can befall them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from depo_lightning.agents.babyai_text import read_situation
from depo_lightning.agents.teacher import ScriptedTeacher

Answer = Callable[[dict[str, Any], int], str]
MODEL = "tiny-teacher"
FAULTS = ("timeout", "429", "500", "truncated", "malformed", "no choices", "empty", "reset")


def player(body: dict[str, Any], seed: int) -> str:
    """A BabyAI player that now and then forgets the format; a function of messages and seed."""
    messages = [message for message in body["messages"] if message["role"] != "system"]
    chance = int(hashlib.sha256(f"{seed}/{messages[-1]['content']}".encode()).hexdigest(), 16) % 10
    if chance == 0:
        return "I would rather talk about the weather."
    if chance == 1:
        return "Thought: one\nAction: turn left\nAction: turn right"
    while len(messages) > 1 and "Action" in messages[-1]["content"] and "cannot be played" in messages[-1]["content"]:
        messages = messages[:-2]
    read_situation(messages)  # the server must be able to, or the test says nothing
    turn = asyncio.run(ScriptedTeacher().propose(messages, 1, seed))[0]
    return turn + ("\nObservation: you see a dragon." if chance == 2 else "")


class FakeServer:
    """Serves `/v1/chat/completions` and `/v1/models` in a thread.

    Attributes:
        answer: (request body, seed of one choice) → text.
        answers: every text ever sent; what is not among them was made up elsewhere.
        bodies: the requests, in order of arrival.
        faults: how many of each kind were injected.
    """

    def __init__(self, answer: Answer = player, faulty: float = 0.0, key: str | None = None, native_n: bool = True):
        self.answer, self.faulty, self.key, self.native_n = answer, faulty, key, native_n
        self.answers: set[str] = set()
        self.bodies: list[dict[str, Any]] = []
        self.faults: Counter[str] = Counter()
        self.most_at_once = self._at_once = self._number = 0
        self.delay = 0.0
        self.script: list[tuple[int, str, dict[str, str]]] = []  # (status, body, headers) to send first
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path != "/v1/models":
                    self._send(404, "not found")
                    return
                self._send(200, json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model"}]}))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server._counted():
                    server.respond(self, body)

            def _send(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
                data = text.encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _counted(self) -> Any:
        server = self

        class Counted:
            def __enter__(self) -> None:
                with server._lock:
                    server._at_once += 1
                    server.most_at_once = max(server.most_at_once, server._at_once)

            def __exit__(self, *_: object) -> None:
                with server._lock:
                    server._at_once -= 1

        return Counted()

    def respond(self, handler: Any, body: dict[str, Any]) -> None:
        with self._lock:
            self.bodies.append(body)
            self._number += 1
            number = self._number
            scripted = self.script.pop(0) if self.script else None
        if self.delay:
            time.sleep(self.delay)
        if scripted is not None:
            handler._send(*scripted)
        elif handler.path != "/v1/chat/completions":
            handler._send(404, json.dumps({"detail": "Not Found"}))
        elif self.key is not None and handler.headers["Authorization"] != f"Bearer {self.key}":
            said = handler.headers["Authorization"]
            handler._send(401, json.dumps({"error": {"message": f"Incorrect API key provided: {said}"}}))
        elif body["model"] != MODEL:
            error = {"message": f"The model `{body['model']}` does not exist", "code": "model_not_found"}
            handler._send(404, json.dumps({"error": error}))
        elif int(hashlib.sha256(f"fault {number}".encode()).hexdigest(), 16) % 1000 < 1000 * self.faulty:
            self._break(handler, FAULTS[number % len(FAULTS)])
        else:
            handler._send(200, self._completion(body))

    def _completion(self, body: dict[str, Any]) -> str:
        count = body.get("n", 1) if self.native_n else 1
        texts = [self.answer(body, body.get("seed", 0) + index) for index in range(count)]
        with self._lock:
            self.answers |= set(texts)
        choices = [
            {"index": index, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            for index, text in enumerate(texts)
        ]
        prompt = sum(len(message["content"].split()) for message in body["messages"])
        written = sum(len(text.split()) for text in texts)
        usage = {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}
        return json.dumps({"id": "x", "object": "chat.completion", "choices": choices, "usage": usage})

    def _break(self, handler: Any, kind: str) -> None:
        with self._lock:
            self.faults[kind] += 1
        if kind == "timeout":
            time.sleep(1.0)  # longer than the client of these tests waits
            handler.close_connection = True
        elif kind == "429":
            handler._send(429, json.dumps({"error": {"message": "slow down"}}), {"Retry-After": "0.02"})
        elif kind == "500":
            handler._send(500, "<html>upstream fell over</html>")
        elif kind == "malformed":
            handler._send(200, '{"choices": [{"message": {"content": "Thought: x\\nAction: drop"')
        elif kind == "no choices":
            handler._send(200, '{"error": "overloaded"}')
        elif kind == "empty":
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": ""}}
            handler._send(200, json.dumps({"choices": [choice]}))
        else:
            if kind == "truncated":  # more bytes are promised than come
                handler.wfile.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{"
                )
                handler.wfile.flush()
            handler.close_connection = True
            handler.connection.close()
