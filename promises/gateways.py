"""Gateways in processes and folders of their own."""

import json
import pathlib
import tempfile
import time
import urllib.error
import urllib.request

from network import Process, require, run

MODEL = "SmolLM2-135M-Instruct"


def apart(data, own):
    """The options for a folder of one's own that asks the node of another."""
    passphrase = pathlib.Path(own) / "passphrase"
    passphrase.write_text("a promise's own\n")
    node = (pathlib.Path(data) / "node.address").read_text().strip()
    return ["--data", own, "--node", node, "--passphrase-file", passphrase, "--json"]


def own_folder(fairweir, data, own, coins):
    """A gateway's own folder, with an account that is given coins and a key for clients; returns the command for it, its address, and the key."""
    command = [fairweir, *apart(data, own)]
    address = json.loads(run(*command, "keys", "new", "gateway").stdout)["address"]
    run(fairweir, "--data", data, "transfer", address, coins)
    return command, address, json.loads(run(*command, "apikey", "create", "promise").stdout)["secret"]


def gateway(command, stack, *options, listen="127.0.0.1:0"):
    """Starts one; returns its process and where it serves."""
    log = tempfile.NamedTemporaryFile("w+", delete=False)
    ready = lambda: '"ready":true' in pathlib.Path(log.name).read_text()
    process = stack.enter_context(Process(*command, "gateway", *options, "--listen", listen, log=log, ready=ready))
    return process, next(json.loads(line)["url"] for line in process.output().splitlines() if '"ready"' in line)


def asked(url, key, question):
    """What was sent and what came back, byte for byte, and the status."""
    messages = [{"role": "user", "content": question}]
    body = json.dumps({"model": MODEL, "messages": messages, "max_tokens": 16, "seed": 7}).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url + "/chat/completions", body, headers), timeout=300) as answer:
            return body, answer.read(), answer.status
    except urllib.error.HTTPError as error:
        return body, error.read(), error.code


def receipt(url, key, name):
    """A receipt file; `None` when there is none yet, and `False` when there never will be."""
    request = urllib.request.Request(f"{url}/fairweir/receipts/{name}", headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return None if answer.status == 202 else answer.read()
    except urllib.error.HTTPError as error:
        if error.code == 404 and json.load(error)["error"]["code"] in ("receipt_unclaimed", "receipt_refunded"):
            return False
        raise


def receipts(url, key, names, within=60):
    """What receipt() says of each, once it says something of all."""
    deadline, said = time.monotonic() + within, dict.fromkeys(names)
    while True:
        said |= {name: receipt(url, key, name) for name, found in said.items() if found is None}
        waiting = sum(found is None for found in said.values())
        if not waiting:
            return said
        require(time.monotonic() < deadline, f"{waiting} of {len(said)} receipts are pending after {within} s")
        time.sleep(2)


def verified(fairweir, data, content):
    """What the command line says of a receipt file, offline."""
    with tempfile.NamedTemporaryFile(suffix=".fwr") as file:
        file.write(content)
        file.flush()
        return json.loads(run(fairweir, "--data", data, "--json", "verify", file.name).stdout)


def left(fairweir, data, address):
    """What is left of a gateway's grant, in coins."""
    lines = run(fairweir, "--data", data, "--json", "delegate", "list").stdout.splitlines()
    grants = [json.loads(line) for line in lines]
    return next(float(grant["left"]) for grant in grants if grant["delegate"] == address)


def session(fairweir, data, address):
    """The session that a gateway opened last."""
    story = run(fairweir, "--data", data, "--json", "events").stdout.splitlines()
    posted = [json.loads(line)["event"] for line in story]
    return [event["order"] for event in posted if event["event"] == "order_posted" and event["poster"] == address][-1]
