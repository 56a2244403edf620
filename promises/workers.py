"""Networks that workers in processes of their own serve, which can be killed; and what amounts are in base units."""

import json
import os
import pathlib
import re
import tempfile

from network import Process, ask, free_ports, run


class Worker:
    """A worker in a process of its own, on an address of its own, that can be killed and started again."""

    def __init__(self, fairweir, network, folder):
        self.folder, ticket = folder, run(fairweir, "--data", network, "worker", "invite").stdout.strip()
        command = [fairweir, "--data", folder, "--threads", "1", "--json", "worker", "join", ticket]
        self.command = [*command, "--price", "0.5", "--capacity", "64", "--listen", f"127.0.0.1:{free_ports(1)[0]}"]
        self.kills = 0
        self.start()

    def start(self):
        log = tempfile.NamedTemporaryFile("w+", delete=False)
        ready = lambda: '"ready":true' in pathlib.Path(log.name).read_text()
        self.process = Process(*self.command, log=log, ready=ready, within=300)
        said = next(json.loads(line) for line in self.process.output().splitlines() if '"ready"' in line)
        self.account = said["worker"]

    def kill_and_start(self):
        self.process.kill()
        self.kills += 1
        self.start()


def units(coins):
    """Base units of an amount in coins, exactly."""
    whole, _, part = coins.partition(".")
    return int(whole) * 10**9 + int(part.ljust(9, "0") or 0)


class Served:
    """A network with a gateway, in one process whose own workers, which cannot be struck alone, only verify; others serve it."""

    def __init__(self, stack, fairweir, folder, count):
        self.fairweir, self.data = fairweir, folder / "network"
        log = tempfile.NamedTemporaryFile("w+", delete=False)
        url = lambda: re.search(r"http://[^/\s]+/v1", pathlib.Path(log.name).read_text(errors="replace"))
        command = [fairweir, "--data", self.data, "--threads", "1", "up", "--no-job", "--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0"]
        environment = dict(os.environ, FAIRWEIR_LOG="fairweir_gateway=warn")
        self.network = stack.enter_context(Process(*command, ready=lambda: url() is not None, within=900, log=log, env=environment))
        self.workers = [Worker(fairweir, self.data, folder / f"worker-{number}") for number in range(count)]
        for worker in self.workers:
            stack.callback(lambda worker=worker: worker.process.process.kill())
        for number in (1, 2, 3):
            for kind in ("chat", "embedding", "text"):
                run(fairweir, "--data", self.data, "worker", "offer", "withdraw", kind, "--key", f"worker-{number}")
        self.url, self.key = url().group(), ask(fairweir, self.data, "apikey", "create", "promise")["secret"]
        self.environment = dict(os.environ, FAIRWEIR_BASE_URL=self.url, FAIRWEIR_API_KEY=self.key)

    def failed_over(self):
        """What the gateway said of each answer that went on elsewhere."""
        lines = (re.sub(r"\x1b\[[0-9;]*m", "", line) for line in self.network.output().splitlines())
        return [line for line in lines if "which goes on elsewhere" in line]


def is_begun(line):
    """Whether the client had some of an answer that went on elsewhere."""
    return not re.search(r"given=0\b", line)
