"""What the promises share: building programs, running a network in a folder of its own, and asking it."""

import itertools
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(
    os.environ.get("CARGO_TARGET_DIR")
    or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "fairweir" / "target"
)


class Broken(Exception):
    """The promise does not hold."""


def require(holds, message):
    if not holds:
        raise Broken(message)


def keep(promise):
    """Runs a promise: prints its figure last and leaves with 0 only if it holds."""
    try:
        figure = promise()
    except Broken as broken:
        print(f"broken: {broken}")
        sys.exit(1)
    except subprocess.CalledProcessError as error:
        print(error.stdout or "")
        print(error.stderr or "")
        print(f"broken: {error}")
        sys.exit(1)
    print(figure)


def until(what, holds, within=180):
    """Waits until something holds, and returns it; `what` says it in words."""
    deadline = time.monotonic() + within
    while not (found := holds()):
        require(time.monotonic() < deadline, f"{what}: not within {within:.0f} s")
        time.sleep(0.2)
    return found


# Ports that the system gives to nobody by itself. Of those that it does give, another process may get one that was let go here before the program that is to have it runs.
# They begin at 49,152 (RFC 6335, section 6), on Linux at 32,768.
PORTS = range(10_000, 32_000)
# They are tried in turn, from another one on in every process.
TRIED = itertools.count(16 * os.getpid())


def is_free(port):
    """Whether nobody uses a port of loopback now, for UDP and TCP."""
    try:
        with socket.create_server(("127.0.0.1", port)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


def free_ports(count):
    """Ports, all different, that nobody uses now, for UDP and TCP."""
    tried = (PORTS[next(TRIED) % len(PORTS)] for _ in PORTS)
    ports = list(itertools.islice(filter(is_free, tried), count))
    require(len(ports) == count, "too few ports are free")
    return ports


def program(name, release=False):
    """Builds a program and returns its path; the first build of a profile takes minutes."""
    package = "fairweir-cli" if name == "fairweir" else "fairweir-sim"
    command = ["cargo", "build", "--quiet", "--locked", "--package", package, "--bin", name]
    environment = dict(os.environ, CARGO_TARGET_DIR=str(TARGET))
    subprocess.run(command + (["--release"] if release else []), cwd=ROOT, env=environment, check=True)
    return TARGET / ("release" if release else "debug") / name


def run(*command, check=True, **options):
    """Runs a command to its end and returns it with its output as text."""
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, check=check, **{"timeout": 600, **options})


def ask(fairweir, data, *command):
    """Runs a command of the command line with --json and returns what it says."""
    return json.loads(run(fairweir, "--data", data, "--json", *command).stdout)


def events(fairweir, data, *options):
    """All events so far, oldest first."""
    lines = run(fairweir, "--data", data, "--json", "events", *options).stdout.splitlines()
    return [json.loads(line)["event"] for line in lines]


class Process:
    """A process in the background whose end is waited for."""

    def __init__(self, *command, ready=None, within=120, log=None, **options):
        self.log = log or tempfile.NamedTemporaryFile("w+", delete=False)
        words = [str(word) for word in command]
        self.process = subprocess.Popen(words, stdout=self.log, stderr=subprocess.STDOUT, **options)
        deadline = time.monotonic() + within
        while ready is not None and not ready():
            require(self.process.poll() is None, f"{words} ended early:\n{self.output()}")
            require(time.monotonic() < deadline, f"{words} was not ready in {within} s:\n{self.output()}")
            time.sleep(0.05)

    def output(self):
        return pathlib.Path(self.log.name).read_text(errors="replace")

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Ctrl-C, and a clean end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def megabytes(process):
    """What a process has in memory."""
    for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def network(fairweir, data, *options):
    """A whole network in one process, without the job; with "--models" it brings language models too."""
    address = pathlib.Path(data) / "node.address"
    address.unlink(missing_ok=True)
    models = [] if "--models" in options else ["--no-models"]
    options = [option for option in options if option != "--models"]
    command = [fairweir, "--data", data, "up", "--no-job", "--listen", "127.0.0.1:0", *models, *options]
    return Process(*command, ready=address.exists)


def lanes(story):
    """Each lane, by its order and slot, with the event that closed it, if one did."""
    found = {}
    for event in story:
        if event["event"] in ("lane_opened", "lane_closed"):
            found[event["order"], event["slot"]] = event if event["event"] == "lane_closed" else None
    return found


def close_lanes(fairweir, data, within, *options):
    """Closes all sessions of a gateway and waits until their lanes are settled; gives what happened until then."""
    for order in {order for (order, _), closed in lanes(events(fairweir, data)).items() if closed is None}:
        run(fairweir, "--data", data, "order", "close", order, *options)
    return closed_lanes(fairweir, data, within)


def closed_lanes(fairweir, data, within):
    """Waits until all lanes are settled."""
    deadline = time.monotonic() + within
    while True:
        story = events(fairweir, data)
        if None not in lanes(story).values():
            return story
        require(time.monotonic() < deadline, f"lanes did not close in {within} s")
        time.sleep(2)


def node(fairweir, data):
    """A node without roles; founds a development chain in an empty folder."""
    folder = pathlib.Path(data)
    if not (folder / "genesis.bin").exists():
        run(fairweir, "--data", data, "node", "init", "--chain-id", "dev-promise", "--listen", "127.0.0.1:0")
    address = folder / "node.address"
    address.unlink(missing_ok=True)
    return Process(fairweir, "--data", data, "node", "run", ready=address.exists)
