"""Gateways in processes and folders of their own."""

import json
import pathlib
import tempfile

from network import Process, run


def own_folder(fairweir, data, own, coins):
    """A gateway's own folder, with an account that is given coins and a key for clients; returns the command for it, its address, and the key."""
    passphrase = pathlib.Path(own) / "passphrase"
    passphrase.write_text("a promise's own\n")
    node = (pathlib.Path(data) / "node.address").read_text().strip()
    command = [fairweir, "--data", own, "--node", node, "--passphrase-file", passphrase, "--json"]
    address = json.loads(run(*command, "keys", "new", "gateway").stdout)["address"]
    run(fairweir, "--data", data, "transfer", address, coins)
    return command, address, json.loads(run(*command, "apikey", "create", "promise").stdout)["secret"]


def gateway(command, stack, *options, listen="127.0.0.1:0"):
    """Starts one; returns its process and where it serves."""
    log = tempfile.NamedTemporaryFile("w+", delete=False)
    ready = lambda: '"ready":true' in pathlib.Path(log.name).read_text()
    process = stack.enter_context(Process(*command, "gateway", *options, "--listen", listen, log=log, ready=ready))
    return process, next(json.loads(line)["url"] for line in process.output().splitlines() if '"ready"' in line)
