"""Workers in processes of their own, which can be killed, and what amounts are in base units."""

import json
import pathlib
import socket
import tempfile

from network import Process, run


def free_port():
    """A UDP port that nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Worker:
    """A worker in a process of its own, on an address of its own, that can be killed and started again."""

    def __init__(self, fairweir, network, folder):
        self.folder, ticket = folder, run(fairweir, "--data", network, "worker", "invite").stdout.strip()
        command = [fairweir, "--data", folder, "--threads", "1", "--json", "worker", "join", ticket]
        self.command = [*command, "--price", "0.5", "--capacity", "64", "--listen", f"127.0.0.1:{free_port()}"]
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
