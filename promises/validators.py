"""A network whose validators run on machines of their own, founded by the ceremony of the genesis file."""
import json
import os
import pathlib

from network import Process, require, run

CHAIN = "many-machines"
COINS = 1_000_000
# Nobody waits for anything in these promises, so a pause is the heartbeat and the time that a leader's block may take.
HEARTBEAT_MS = 500


class Validators:
    """Validators of one chain, one for each machine, but for the last ones if some are only candidates. Their folders lie under `folder`; `values` are governed
    values by name, `coins` what the account of each validator's fees begins with, `chain` the chain's name, and `kinds` the kinds of work that
    it begins with, by default all."""

    def __init__(self, fairweir, machines, folder, candidates=0, values=None, coins=0, chain=CHAIN, kinds=None):
        if chain.startswith("dev-"):
            # Its passphrase lies beside its keys.
            os.environ.pop("FAIRWEIR_PASSPHRASE", None)
        else:
            os.environ["FAIRWEIR_PASSPHRASE"] = "a passphrase for one test"
        self.fairweir, self.machines, self.folder = fairweir, machines, pathlib.Path(folder)
        self.count = len(machines.names)
        self.founders = self.count - candidates
        self.values, self.coins = values or {}, coins
        self.chain = chain
        self.kinds = ["--kinds", kinds] if kinds else []
        self.running = {}
        # Words before the command that starts a validator, by its number: what its process runs under.
        self.under = {}

    def data(self, number):
        return self.folder / f"validator-{number}"

    def command(self, number, *words):
        return [self.fairweir, "--data", self.data(number), *words]

    def ask(self, number, *words):
        """Runs a command with --json on a validator's machine."""
        done = run(*self.machines.on(number, *self.command(number, "--json", *words)))
        return json.loads(done.stdout)

    def found(self):
        """Every machine makes its keys and its card; one person makes the file; every machine joins by it."""
        file = self.folder / "genesis.toml"
        cards = []
        for number in range(self.count):
            listen, peer = self.machines.ways(number)
            cards.append(self.ask(number, "node", "init", "--chain-id", self.chain, "--listen", listen, "--peer", peer)["card"])
            settings = self.data(number) / "fairweir.toml"
            settings.write_text(settings.read_text().replace("heartbeat_ms = 1000", f"heartbeat_ms = {HEARTBEAT_MS}"))
        run(self.fairweir, "genesis", "new", file, "--chain-id", self.chain, *self.kinds)
        run(self.fairweir, "genesis", "add-validator", file, *cards[: self.founders])
        for number in range(self.count):
            run(*self.command(number, "genesis", "add-account", file, "buyer", COINS))
            if self.coins:
                run(*self.command(number, "genesis", "add-account", file, "validator", self.coins))
        for name, value in self.values.items():
            run(self.fairweir, "genesis", "set-param", file, name, value)
        run(self.fairweir, "genesis", "finalise", file)
        digest = json.loads(run(self.fairweir, "--json", "genesis", "show", file).stdout)["digest"]
        for number in range(self.count):
            late = ["--candidate"] if number >= self.founders else []
            run(*self.command(number, "node", "join", file, "--digest", digest, *late))

    def process(self, number, program=None, **options):
        """A validator's process; of another program than `fairweir` that takes the folder, if one is given."""
        run_it = [program, "run", self.data(number)] if program else self.command(number, "node", "run")
        return Process(*self.machines.on(number, *self.under.get(number, []), *run_it), **options)

    def start(self, *numbers, within=120, program=None):
        """Starts validators, and waits until their doors are open."""
        for number in numbers:
            address = self.data(number) / "node.address"
            address.unlink(missing_ok=True)
            self.running[number] = self.process(number, program, ready=address.exists, within=within)

    def refused(self, number):
        """Starts a validator that must end at once, and gives what it says."""
        with self.process(number) as refused:
            require(refused.process.wait(timeout=60) != 0, f"validator {number} ended as if all were well")
            return refused.output()

    def ended(self, number, within=30):
        """Waits until a validator that runs ends by itself, and gives what it says."""
        ending = self.running[number]
        require(ending.process.wait(timeout=within) != 0, f"validator {number} ended as if all were well")
        return self.running.pop(number).output()

    def kill(self, *numbers):
        """kill -9: the `ip` that started it became the program itself."""
        for number in numbers:
            self.running.pop(number).kill()

    def stop(self):
        for number, process in list(self.running.items()):
            require(process.stop() == 0, f"validator {number} did not stop cleanly:\n{process.output()}")
        self.running.clear()

    def height(self, number):
        return self.ask(number, "status")["height"]

    def has(self, number, height=0):
        """Whether a validator answers, and has a block that is so high."""
        done = run(*self.machines.on(number, *self.command(number, "--json", "status")), check=False)
        return done.returncode == 0 and json.loads(done.stdout)["height"] >= height

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.running.values():
            process.kill()
