"""Answers of the gateway against the same answers of the engine alone, in the same process, question by question in turn."""

import contextlib
import http.client
import json
import pathlib
import re
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


def over_http(url, key, text):
    """Milliseconds to the first token and to the last, and the tokens, as a streaming client sees them; nothing for an empty answer."""
    address = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=300)
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": TOKENS,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.connect()
    begun = time.perf_counter()
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    response = connection.getresponse()
    if response.status != 200:
        raise Broken(f"the gateway answers {response.status}: {response.read()[:300]}")
    first = last = None
    tokens = 0
    for line in response:
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        if event.get("usage"):
            tokens = event["usage"]["completion_tokens"]
        if any(choice.get("delta", {}).get("content") for choice in event["choices"]):
            last = time.perf_counter()
            first = first or last
    connection.close()
    if first is None:
        return None
    return (first - begun) * 1e3, (last - begun) * 1e3, tokens


class Pairs:
    """A network with its gateway, on so many threads, for as long as this is entered. The process whose engine serves it also answers questions by that
    engine alone: the same weights in the same memory, without session, gateway and settlement. Of two processes the one with the luckier pages is up
    to a fifth faster.

    With `apart`, a worker in a process of its own serves, and the network's own ones, which are in another process, only verify."""

    def __init__(self, threads, apart=False):
        self.threads, self.apart = str(threads), apart
        self.fairweir = program("fairweir", release=True)

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.data = stack.enter_context(tempfile.TemporaryDirectory())
            log = tempfile.NamedTemporaryFile("w+", delete=False)
            url = lambda: re.search(r"http://[^/\s]+/v1", pathlib.Path(log.name).read_text(errors="replace"))
            command = [self.fairweir, "--data", self.data, "--threads", self.threads, "up", "--no-job"]
            command += ["--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0", *([] if self.apart else ["--time", MODEL])]
            network = stack.enter_context(Process(*command, ready=lambda: url() is not None, within=900, log=log, stdin=subprocess.PIPE))
            self.url, self.network, self.server = url().group(), network, network
            if self.apart:
                self.server = stack.enter_context(self.worker(stack.enter_context(tempfile.TemporaryDirectory())))
            self.log, self.read = pathlib.Path(self.server.log.name), 0
            self.key = ask(self.fairweir, self.data, "apikey", "create", "promise")["secret"]
            self.stack = stack.pop_all()
        return self

    def worker(self, folder):
        """The one that serves."""
        ticket = run(self.fairweir, "--data", self.data, "worker", "invite").stdout.strip()
        command = [self.fairweir, "--data", folder, "--threads", self.threads, "--json", "worker", "join", ticket]
        command += ["--price", "0.5", "--no-verify", "--time", MODEL]
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
            lines = self.log.read_text(errors="replace").splitlines(keepends=True)
            answers = [line for line in lines if line.startswith('{"first_ms"') and line.endswith("\n")]
            if len(answers) > self.read:
                self.read += 1
                said = json.loads(answers[self.read - 1])
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
