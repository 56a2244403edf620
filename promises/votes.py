"""What the stakeholders of a network in one process decide, by the command line."""

from network import ask, require, run, until

VOTERS = ["worker-1", "worker-2", "worker-3", "verifier-1", "verifier-2", "verifier-3"]


def have_bonded(fairweir, data):
    """Waits until everybody who votes has stake."""
    until("everybody has bonded", lambda: all(float(ask(fairweir, data, "account", name)["bonded"]) == 1_000 for name in VOTERS), 300)


def decide(fairweir, data, *words):
    """Proposes something, lets everybody vote for it, and waits until it is done."""
    proposal = ask(fairweir, data, "proposal", "submit", *words)["proposal"]
    for name in VOTERS:
        run(fairweir, "--data", data, "proposal", "vote", proposal, "yes", "--from", name)
    show = lambda: ask(fairweir, data, "proposal", "show", proposal)
    ended = until("the proposal is over", lambda: (found := show())["phase"] == "ended" and found)
    require(ended["outcome"] == "executed", f"{words} was not done: {ended}")
