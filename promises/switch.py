#!/usr/bin/env python3
"""A network switch in user space that delays, loses, repeats, reorders and cuts off frames: what a wide-area link does, where the kernel has no netem.

Usage: switch.py [--delay SECONDS] [--loss SHARE] [--seed NUMBER] [--rules] DEVICE DEVICE...
Runs in the namespace that holds one end of each machine's link, until it is killed. Each frame that enters is lost with the
given chance, else it leaves after the delay; frames between two devices stay in order, as they do in one cable.

With --rules, each line of standard input is a JSON object that changes the rules from there on, and is answered by a line that says how many
frames met each rule since the line before: `delay`, `loss`, `duplicate` (the share of frames that come twice), `reorder` (the share that
is held back), and `cut`, pairs of devices by their order from 0: nothing that enters at the first leaves at the second."""
import argparse
import collections
import heapq
import json
import os
import random
import selectors
import socket
import struct
import sys
import time

ETH_P_ALL = 3
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC, PACKET_IGNORE_OUTGOING = 263, 1, 1, 23
FRAME_BYTES_MAX = 65_536
# Frames of one machine that wait at most: a cable holds no more either.
QUEUE_MAX = 20_000
# How much later the second of two equal frames comes, and one that is held back, in seconds at the most.
REPEATED_MAX, HELD_MAX = 0.3, 0.1


def attach(device):
    """A socket that sees every frame that a machine sends into its link."""
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    port.bind((device, 0))
    port.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    membership = struct.pack("IHH8s", socket.if_nametoindex(device), PACKET_MR_PROMISC, 0, b"")
    port.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)
    port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
    port.setblocking(False)
    return port


def send(port, frame):
    try:
        port.send(frame)
    except OSError:
        # The machine's end is down, or its queue is full: the frame is lost, as on a real link.
        pass


class Switch:
    """What waits between the devices, and by which rules."""

    def __init__(self, ports, delay, loss, seed):
        self.ports, self.chance = ports, random.Random(seed)
        self.rules = {"delay": delay, "loss": loss, "duplicate": 0.0, "reorder": 0.0, "cut": []}
        self.cut, self.met = set(), collections.Counter()
        # Which device each address was seen at; and frames by when they leave, those of the same moment by when they came.
        self.where, self.queue, self.came = {}, [], 0

    def change(self, line):
        """Changes the rules, and says what those before did."""
        self.rules.update(json.loads(line))
        self.cut = {(self.ports[source], self.ports[target]) for source, target in self.rules["cut"]}
        print(json.dumps(self.met), flush=True)
        self.met.clear()

    def happens(self, rule):
        """Whether a frame meets a rule that holds for a share of them."""
        if not self.rules[rule] or self.chance.random() >= self.rules[rule]:
            return False
        self.met[rule] += 1
        return True

    def put(self, source, frame, after):
        self.came += 1
        heapq.heappush(self.queue, (time.monotonic() + after, self.came, source, frame))

    def take(self, source, frame):
        """A frame enters."""
        self.where[frame[6:12]] = source
        if self.happens("loss") or len(self.queue) >= QUEUE_MAX:
            return
        delay = self.rules["delay"]
        if self.happens("duplicate"):
            self.put(source, frame, delay + self.chance.uniform(0, REPEATED_MAX))
        held = self.chance.uniform(0, HELD_MAX) if self.happens("reorder") else 0.0
        self.put(source, frame, delay + held)

    def give(self):
        """What is due leaves, unless it is cut off."""
        now = time.monotonic()
        while self.queue and self.queue[0][0] <= now:
            _, _, source, frame = heapq.heappop(self.queue)
            target = self.where.get(frame[:6])
            for port in self.ports if target is None else [target]:
                if (source, port) in self.cut:
                    self.met["cut"] += 1
                elif port is not source:
                    send(port, frame)

    def wait(self):
        """Seconds until something is due."""
        return max(0.0, self.queue[0][0] - time.monotonic()) if self.queue else None


def take_all(switch, port):
    """Takes what waits at a device, but not so much that others wait for long."""
    for _ in range(64):
        try:
            switch.take(port, port.recv(FRAME_BYTES_MAX))
        except BlockingIOError:
            break


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--delay", type=float, default=0.0)
    arguments.add_argument("--loss", type=float, default=0.0)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--rules", action="store_true")
    arguments.add_argument("devices", nargs="+")
    options = arguments.parse_args()
    ports = [attach(device) for device in options.devices]
    switch = Switch(ports, options.delay, options.loss, options.seed)
    selector = selectors.DefaultSelector()
    for port in ports:
        selector.register(port, selectors.EVENT_READ)
    said, begun = sys.stdin.fileno(), b""
    if options.rules:
        selector.register(said, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select(switch.wait()):
            if key.fileobj != said:
                take_all(switch, key.fileobj)
                continue
            heard = os.read(said, 65_536)
            *lines, begun = (begun + heard).split(b"\n")
            for line in lines:
                switch.change(line)
            if not heard:
                selector.unregister(said)
        switch.give()


main()
