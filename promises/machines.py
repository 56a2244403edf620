"""Machines for promises: network namespaces, each with one link to a switch that delays and loses packets. Needs root."""
import ctypes
import fcntl
import os
import pathlib
import re
import socket
import struct
import sys
import tempfile

from network import Process, free_ports, require, run

# Machines of a run are named after its process: several may run side by side.
NAME = re.compile(r"fairweir-(\d+)-\w+")
SIOCETHTOOL = 0x8946
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
    so many megabits a second."""

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
                rate = f"rate {self.mbps}mbit burst 256kb latency 400ms"
                run("tc", "-n", name, "qdisc", "add", "dev", "uplink", "root", "tbf", *rate.split())
            devices.append(device)
        delay, loss, seed = self.link
        program = pathlib.Path(__file__).with_name("switch.py")
        log = tempfile.NamedTemporaryFile("w+")
        words = ["ip", "netns", "exec", self.switch_name, sys.executable, program, "--delay", delay, "--loss", loss, "--seed", seed]
        ready = lambda: "ready" in pathlib.Path(log.name).read_text()
        self.switch = Process(*words, *devices, log=log, ready=ready)
        return self

    def __exit__(self, *_):
        self.switch.kill()
        self.remove()


if __name__ == "__main__":
    offload_off(sys.argv[1])
