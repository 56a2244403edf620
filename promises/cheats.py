"""Cheats that join a running network, each in a process of its own, and how their appeals ended."""

import pathlib
import tempfile

from network import Process


def cheat(byzantine, data, models, behaviour, *options):
    """A cheat in a process of its own, once it is registered; one that needs no models gets none."""
    log = tempfile.NamedTemporaryFile("w+")
    command = [byzantine, "--data", data, "--behaviour", behaviour, *(["--models", models] if models else []), *options]
    return Process(*command, log=log, within=300, ready=lambda: "ready:" in pathlib.Path(log.name).read_text())


def address(process):
    return process.output().split("ready:")[1].split()[0]


def appeals(story, outcome):
    return [event for event in story if event["event"] == "appeal_decided" and event["outcome"] == outcome]
