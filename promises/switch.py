#!/usr/bin/env python3
"""A network switch in user space that delays and loses frames: what a wide-area link does, where the kernel has no netem.

Usage: switch.py [--delay SECONDS] [--loss SHARE] [--seed NUMBER] DEVICE DEVICE...
Runs in the namespace that holds one end of each machine's link, until it is killed. Each frame that enters is lost with the
given chance, else it leaves after the delay; frames between two devices stay in order, as they do in one cable."""
import argparse
import collections
import random
import selectors
import socket
import struct
import time

ETH_P_ALL = 3
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC, PACKET_IGNORE_OUTGOING = 263, 1, 1, 23
FRAME_BYTES_MAX = 65_536
# Frames of one machine that wait at most: a cable holds no more either.
QUEUE_MAX = 20_000


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


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--delay", type=float, default=0.0)
    arguments.add_argument("--loss", type=float, default=0.0)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("devices", nargs="+")
    options = arguments.parse_args()
    chance = random.Random(options.seed)
    ports = [attach(device) for device in options.devices]
    selector = selectors.DefaultSelector()
    for port in ports:
        selector.register(port, selectors.EVENT_READ)
    where, queue = {}, collections.deque()
    print("ready", flush=True)
    while True:
        wait = max(0.0, queue[0][0] - time.monotonic()) if queue else None
        for key, _ in selector.select(wait):
            for _ in range(64):
                try:
                    frame = key.fileobj.recv(FRAME_BYTES_MAX)
                except BlockingIOError:
                    break
                where[frame[6:12]] = key.fileobj
                if chance.random() >= options.loss and len(queue) < QUEUE_MAX:
                    queue.append((time.monotonic() + options.delay, key.fileobj, frame))
        now = time.monotonic()
        while queue and queue[0][0] <= now:
            _, source, frame = queue.popleft()
            target = where.get(frame[:6])
            for port in ports if target is None else [target]:
                if port is not source:
                    send(port, frame)


main()
