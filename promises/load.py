"""Load on validators, the log of what was acknowledged to it, and the check that nothing of that was lost."""
import contextlib
import pathlib
import time

from network import Process, require, run, until


class Load:
    """What sends transfers to the validators of a network by `program`, which is `fairweir-load`; its log lies under `folder`."""

    def __init__(self, network, program, folder):
        self.network, self.program = network, program
        self.log = pathlib.Path(folder) / "acknowledged"
        self.log.touch()

    def command(self, number, *words):
        """The words that run the program against a validator, on its machine."""
        return self.network.machines.on(number, self.program, "--data", self.network.data(number), *words)

    @contextlib.contextmanager
    def at(self, number, *options):
        """Load that a validator takes, for as long as the context lasts."""
        with Process(*self.command(number, "run", "--log", self.log, "--seconds", 3600, *options)) as loading:
            yield loading
        # What a killed load wrote last may be half a line: it was never read as acknowledged.
        whole = self.log.read_bytes()
        self.log.write_bytes(whole[: whole.rfind(b"\n") + 1])

    def acknowledged(self):
        return self.log.read_bytes().count(b"\n")

    def until_more(self, loading, what, count=1, within=60):
        """Waits until the load that is running has so many more acknowledged, and says how long that took; `what` says in words what does not hold otherwise."""
        begun, wanted = time.monotonic(), self.acknowledged() + count
        while self.acknowledged() < wanted:
            require(loading.process.poll() is None, f"{what}: the load ended: {loading.output()}")
            require(time.monotonic() - begun < within, f"{what} within {within} s: {loading.output()}")
            time.sleep(0.05)
        return time.monotonic() - begun

    def nothing_lost(self):
        """Every acknowledged transaction is at every validator, in the same block of the same chain. Gives the height to which that was compared."""
        network = self.network
        height = max(network.height(number) for number in range(network.count))
        digests = set()
        for number in range(network.count):
            until(f"validator {number} catches up", lambda: network.has(number, height), 60)
            checked = run(*self.command(number, "check", "--log", self.log), timeout=3600).stdout.strip()
            replayed = run(*self.command(number, "replay", "--at", height), timeout=3600).stdout
            print(f"validator {number}: {checked}; {replayed.splitlines()[0]}", flush=True)
            digests.add(replayed.split()[-1])
        require(len(digests) == 1, f"the validators' chains differ: {digests}")
        return height
