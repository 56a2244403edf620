"""Machines for promises: network namespaces, each with one link to a switch that delays and loses packets, or cuts them off. Needs root."""
import contextlib
import ctypes
import fcntl
import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys
import tempfile

from network import Process, free_ports, require, run, until

# Machines of a run are named after its process: several may run side by side.
NAME = re.compile(r"fairweir-(\d+)-\w+")
SIOCETHTOOL = 0x8946
LIBC, CLONE_NEWNET = ctypes.CDLL(None), 0x40000000
# Checksums and segments are made in the sending machine, because the switch forwards frames as they are.
OFFLOADS = {"ETHTOOL_STXCSUM": 0x17, "ETHTOOL_STSO": 0x1F, "ETHTOOL_SGSO": 0x24, "ETHTOOL_SGRO": 0x2C}


def ip(*words, check=True):
    return run("ip", *words, check=check)


def offload_off(device):
    """Turns a device's offloads off; runs in the device's namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for command in OFFLOADS.values():
            value = ctypes.create_string_buffer(struct.pack("II", command, 0), 8)
            fcntl.ioctl(control, SIOCETHTOOL, struct.pack("16sP", device.encode(), ctypes.addressof(value)))


def limit(name, device, mbps):
    """At most so many megabits a second leave at a device, and at once no more than in 5 ms."""
    rate = f"rate {mbps}mbit burst {max(16_384, mbps * 625)} latency 400ms"
    run("tc", "-n", name, "qdisc", "replace", "dev", device, "root", "tbf", *rate.split())


class Loopback:
    """`count` machines that are this one, told apart by ports: nothing is slowed down or lost."""

    def __init__(self, count):
        self.names = [f"loopback-{number}" for number in range(1, count + 1)]
        self.ports = free_ports(2 * count)

    def ways(self, machine):
        """Where a node on a machine listens for clients, and for other validators."""
        return tuple(f"127.0.0.1:{port}" for port in self.ports[2 * machine : 2 * machine + 2])

    def on(self, _, *command):
        return [str(word) for word in command]


class Machines:
    """`count` machines at 10.78.0.1 and up; use as a context. Frames take `delay` seconds, a share `loss` of them is lost, and each machine sends at most
    so many megabits a second. What the links do can be changed at any time, see `rules`; machines are pairs' members by their numbers from 0."""

    def __init__(self, count, delay=0.0, loss=0.0, seed=1, mbps=None):
        require(os.geteuid() == 0, "this promise lays network namespaces: run it as root")
        self.names = [f"fairweir-{os.getpid()}-{number}" for number in range(1, count + 1)]
        self.switch_name = f"fairweir-{os.getpid()}-switch"
        self.link, self.mbps = (delay, loss, seed), mbps

    def address(self, machine):
        return f"10.78.0.{machine + 1}"

    def ways(self, machine):
        """Where a node on a machine listens for clients, and for other validators."""
        return f"{self.address(machine)}:7640", f"{self.address(machine)}:7641"

    def on(self, machine, *command):
        """The words that run a command on a machine."""
        return ["ip", "netns", "exec", self.names[machine], *[str(word) for word in command]]

    def remove(self):
        """Removes these machines, and what runs left that were cut off."""
        for name in ip("netns", "list").stdout.split():
            found = NAME.fullmatch(name)
            if found and (int(found[1]) == os.getpid() or not pathlib.Path(f"/proc/{found[1]}").exists()):
                ip("netns", "delete", name, check=False)

    def __enter__(self):
        self.remove()
        ip("netns", "add", self.switch_name)
        devices = []
        for number, name in enumerate(self.names, start=1):
            device = f"port{number}"
            ip("netns", "add", name)
            ip("link", "add", "uplink", "netns", name, "type", "veth", "peer", "name", device, "netns", self.switch_name)
            ip("-n", name, "address", "add", f"10.78.0.{number}/24", "dev", "uplink")
            ip("-n", name, "link", "set", "uplink", "up")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", self.switch_name, "link", "set", device, "up")
            run(*self.on(number - 1, sys.executable, __file__, "uplink"))
            if self.mbps:
                limit(name, "uplink", self.mbps)
            devices.append(device)
        delay, loss, seed = self.link
        program = pathlib.Path(__file__).with_name("switch.py")
        log = tempfile.NamedTemporaryFile("w+")
        words = ["ip", "netns", "exec", self.switch_name, sys.executable, program, "--delay", delay, "--loss", loss, "--seed", seed, "--rules"]
        ready = lambda: "ready" in pathlib.Path(log.name).read_text()
        self.switch = Process(*words, *devices, log=log, ready=ready, stdin=subprocess.PIPE)
        self.asked = 0
        return self

    def rules(self, **changes):
        """Changes what the switch does: `delay`, `loss`, `duplicate`, `reorder`, `cut`. Says how many frames met each rule since the change before."""
        self.switch.process.stdin.write(json.dumps(changes).encode() + b"\n")
        self.switch.process.stdin.flush()
        self.asked += 1
        answers = lambda: self.switch.output().splitlines()[1:]
        until("the switch answers", lambda: len(answers()) >= self.asked, 10)
        return json.loads(answers()[self.asked - 1])

    def cut(self, pairs):
        """Nothing that the first machine of a pair sends reaches the second one from here on."""
        return self.rules(cut=list(pairs))

    def join(self):
        """All links are whole again, with the delay and the loss that they had in the beginning."""
        return self.rules(cut=[], delay=self.link[0], loss=self.link[1], duplicate=0.0, reorder=0.0)

    def limit(self, machine, mbps):
        """A machine sends at most so many megabits a second from here on, and gets as many."""
        limit(self.names[machine], "uplink", mbps)
        limit(self.switch_name, f"port{machine + 1}", mbps)

    @contextlib.contextmanager
    def inside(self, machine):
        """What this thread opens is on a machine, for as long as the context lasts."""
        with open("/proc/thread-self/ns/net") as own, open(f"/run/netns/{self.names[machine]}") as there:
            require(LIBC.setns(there.fileno(), CLONE_NEWNET) == 0, f"cannot enter {self.names[machine]}")
            try:
                yield
            finally:
                require(LIBC.setns(own.fileno(), CLONE_NEWNET) == 0, "cannot leave a namespace")

    def __exit__(self, *_):
        self.switch.kill()
        self.remove()


if __name__ == "__main__":
    offload_off(sys.argv[1])
