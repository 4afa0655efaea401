"""A server of rewards, as OpenRLHF asks one: it counts what is in the texts that it is sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Scorer(BaseHTTPRequestHandler):
    """Answers `{"query": [...], ...}` with `{"rewards": [...]}`: shares of different characters."""

    def do_POST(self) -> None:
        """Score the texts of a request."""
        length = int(self.headers["Content-Length"])
        texts = json.loads(self.rfile.read(length))["query"]
        rewards = [len(set(text)) / (1 + len(text)) for text in texts]
        body = json.dumps({"rewards": rewards, "scores": rewards, "extra_logs": {}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Stay silent."""


@contextmanager
def scorer() -> Iterator[str]:
    """Yield the address of a server that runs for the length of the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Scorer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/get_reward"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
