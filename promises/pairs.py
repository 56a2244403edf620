"""Answers of the gateway against the same answers of the engine alone, in the same process, question by question in turn."""

import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import time
import urllib.parse

from network import Broken, Process, ask, program, require, run

MODEL = "SmolLM2-135M-Instruct"
TOKENS = 64
SUBJECTS = ("rivers", "bread", "chess", "the sky", "bees", "shirts", "the moon", "trains", "tides", "glass", "music")


def question(number):
    return f"Tell me about {SUBJECTS[number % len(SUBJECTS)]}, in the order of importance (no. {number})."


def pieces(connection):
    """A chunked response, as (time, bytes) as it comes: what is in it is looked at afterwards, not while the engine works."""
    found, ends = [], b""
    while ends != b"0\r\n\r\n":
        piece = connection.recv(65_536)
        if not found and b" 200 " not in piece.partition(b"\n")[0]:
            raise Broken(f"the gateway answers {piece[:300]}")
        if not piece:
            raise Broken("the gateway's answer ended early")
        found.append((time.perf_counter(), piece))
        ends = (ends + piece)[-5:]
    return found


def lines(pieces):
    """The lines of a response, each with the time at which it was there."""
    waiting = b""
    for at, piece in pieces:
        *whole, waiting = (waiting + piece).split(b"\n")
        yield from ((at, line.rstrip(b"\r")) for line in whole)


def over_http(url, key, text):
    """Milliseconds to the first token and to the last, and the tokens, as a streaming client sees them; nothing for an empty answer."""
    address = urllib.parse.urlsplit(url)
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": TOKENS,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    content = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port), timeout=300) as connection:
        begun = time.perf_counter()
        connection.sendall(head.encode() + content)
        found = list(lines(pieces(connection)))
    first = last = None
    tokens = 0
    for at, line in found:
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        if event.get("usage"):
            tokens = event["usage"]["completion_tokens"]
        if any(choice.get("delta", {}).get("content") for choice in event["choices"]):
            last = at
            first = first or last
    if first is None:
        return None
    return (first - begun) * 1e3, (last - begun) * 1e3, tokens


@contextlib.contextmanager
def kept_to(cores):
    """What is started meanwhile runs on these cores alone, if any are given."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Pairs:
    """A network with its gateway, on so many threads, for as long as this is entered. The process whose engine serves it also answers questions by that
    engine alone: the same weights in the same memory, without session, gateway and settlement. Of two processes the one with the luckier pages is up
    to a fifth faster.

    With `apart`, a worker in a process of its own serves, and the network's own ones, which are in another process, only verify. The network is kept to
    `network_cores`, and that worker's engine, alone, to `engine_cores`, if they are given."""

    def __init__(self, threads, apart=False, network_cores=None, engine_cores=None):
        self.threads, self.apart, self.network_cores, self.engine_cores = str(threads), apart, network_cores, engine_cores
        self.fairweir = program("fairweir", release=True)

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.data = stack.enter_context(tempfile.TemporaryDirectory())
            log = tempfile.NamedTemporaryFile("w+", delete=False)
            url = lambda: re.search(r"http://[^/\s]+/v1", pathlib.Path(log.name).read_text(errors="replace"))
            command = [self.fairweir, "--data", self.data, "--threads", self.threads, "up", "--no-job"]
            command += ["--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0", *([] if self.apart else ["--time", MODEL])]
            with kept_to(self.network_cores):
                network = stack.enter_context(Process(*command, ready=lambda: url() is not None, within=900, log=log, stdin=subprocess.PIPE))
            self.url, self.network, self.server = url().group(), network, network
            if self.apart:
                self.server = stack.enter_context(self.worker(stack.enter_context(tempfile.TemporaryDirectory())))
            self.log, self.unread = stack.enter_context(open(self.server.log.name, "rb")), b""
            self.key = ask(self.fairweir, self.data, "apikey", "create", "promise")["secret"]
            self.stack = stack.pop_all()
        return self

    def worker(self, folder):
        """The one that serves."""
        ticket = run(self.fairweir, "--data", self.data, "worker", "invite").stdout.strip()
        command = [self.fairweir, "--data", folder, "--threads", self.threads, "--json", "worker", "join", ticket]
        command += ["--price", "0.5", "--no-verify", "--time", MODEL]
        if self.engine_cores:
            command += ["--engine-cores", ",".join(map(str, sorted(self.engine_cores)))]
        log = tempfile.NamedTemporaryFile("w+", delete=False)
        ready = lambda: '"ready":true' in pathlib.Path(log.name).read_text()
        process = Process(*command, log=log, ready=ready, within=300, stdin=subprocess.PIPE)
        for number in (1, 2, 3):
            run(self.fairweir, "--data", self.data, "worker", "offer", "withdraw", "chat", "--key", f"worker-{number}")
        return process

    def __exit__(self, *end):
        self.server.process.stdin.close()
        self.stack.close()

    def engine(self, text):
        """What the engine alone takes for an answer: milliseconds to the first text and to the last, and the tokens."""
        self.server.process.stdin.write(text.encode() + b"\n")
        self.server.process.stdin.flush()
        deadline = time.monotonic() + 300
        while True:
            # Only what is new: the log grows.
            *lines, self.unread = (self.unread + self.log.read()).split(b"\n")
            for line in lines:
                if line.startswith(b'{"first_ms"'):
                    said = json.loads(line)
                    return said["first_ms"], said["last_ms"], said["tokens"]
            require(self.server.process.poll() is None and time.monotonic() < deadline, "the engine ended early")
            time.sleep(0.02)

    def answers(self, count):
        """So many pairs of (milliseconds to the first token, to the last, tokens): the engine's, the gateway's."""
        given = 0
        # The first two open the session and warm both up; an answer of a token or none says nothing of the pace.
        for number in range(4 * count):
            if given == count:
                return
            text = question(number)
            # Each goes first in every other pair: who comes second finds the machine's caches as the first left them.
            if number % 2:
                alone, here = self.engine(text), over_http(self.url, self.key, text)
            else:
                here, alone = over_http(self.url, self.key, text), self.engine(text)
            if number < 2 or here is None or alone[2] < 8:
                continue
            require(here[2] == alone[2], f"the gateway gives {here[2]} tokens, the engine {alone[2]}")
            given += 1
            yield alone, here
        require(given == count, "too few questions were answered at length")
