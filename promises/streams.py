"""Long answers that stock clients ask for, and who computes them. Downloads the openai-python client from PyPI."""

import json
import os
import pathlib
import subprocess
import time

from engine import python
from network import require

CLIENT = pathlib.Path(__file__).resolve().parent / "openai" / "stream.py"
TOKENS = 800
# Who computes runs half of this time, in seconds.
MOMENT = 0.1


def asking(environment, seed, mode, tokens=TOKENS):
    """A client that asks for a long answer, as a stream or the whole."""
    command = [python("openai==2.8.1"), CLIENT, tokens, seed, mode]
    return subprocess.Popen([str(word) for word in command], env=environment, stdout=subprocess.PIPE, text=True)


def ended(client):
    """The last word of a client."""
    words = [json.loads(line) for line in client.stdout]
    require(client.wait() == 0 and words, "the client ended early")
    return words[-1]


def ticks(process):
    """The time that a process ran, in ticks of the clock."""
    stat = pathlib.Path(f"/proc/{process.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(stat[11]) + int(stat[12])


def busiest(processes):
    """Where in a list the process is that computes, once one does."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        before = [ticks(process) for process in processes]
        time.sleep(MOMENT)
        used, number = max((ticks(process) - then, number) for number, (process, then) in enumerate(zip(processes, before)))
        if used * 2 >= MOMENT * os.sysconf("SC_CLK_TCK"):
            return number
    require(False, "no worker computes")
