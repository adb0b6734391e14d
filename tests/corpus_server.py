"""A web server of one folder on this machine, for tests of downloads: it can cut, refuse, and not know ranges."""

import hashlib
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Dict, List, NamedTuple, Optional


class Request(NamedTuple):
    """What was asked for, and how many bytes of it were sent."""

    name: str
    range: Optional[str]
    status: int
    sent: int


class CorpusServer:
    """Serves the files of a folder; the attributes say how it fails.

    cuts: by file name, the byte at which connections break off, and how many of them do. statuses: by file name, the
    error to answer with. ranges, tags, lengths: whether it knows ranges, sends an ETag, says the length.
    """

    def __init__(self, folder):
        self.folder = folder
        self.cuts: Dict[str, list] = {}
        self.statuses: Dict[str, int] = {}
        self.ranges = self.tags = self.lengths = True
        self.requests: List[Request] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def sent(self, name):
        """Bytes sent of a file, by request."""
        return [request.sent for request in self.requests if request.name == name]

    def close(self):
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _handler(server):  # noqa: N805 - the handler's own self is another
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.rpartition("/")[2]
                path = server.folder / name
                status = server.statuses.get(name, 200 if path.is_file() else 404)
                if status != 200:
                    server.requests.append(Request(name, self.headers["Range"], status, 0))
                    self.send_error(status)
                    return
                content = path.read_bytes()
                tag = f'"{hashlib.sha1(content).hexdigest()}"'
                start = self._start(tag) if server.ranges else 0
                if start >= len(content) > 0:
                    server.requests.append(Request(name, self.headers["Range"], 416, 0))
                    self.send_error(416)
                    return
                status = 206 if start else 200
                end = len(content)
                cut = server.cuts.get(name)
                if cut and cut[1] > 0:
                    cut[1] -= 1
                    end = max(start, cut[0])
                # Before the answer, after which a client may look at what was asked.
                server.requests.append(Request(name, self.headers["Range"], status, end - start))
                self.send_response(status)
                if server.tags:
                    self.send_header("ETag", tag)
                if server.lengths:
                    self.send_header("Content-Length", str(len(content) - start))
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
                self.end_headers()
                self.wfile.write(content[start:end])

            def _start(self, tag):
                wanted = self.headers["Range"]
                if wanted is None or self.headers["If-Range"] not in (None, tag):
                    return 0
                return int(wanted.partition("=")[2].partition("-")[0])

            def log_message(self, *args):
                pass

        return Handler


@contextmanager
def serving(folder):
    """A server of the folder while the block runs."""
    server = CorpusServer(folder)
    try:
        yield server
    finally:
        server.close()
