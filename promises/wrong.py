"""Wrong clocks and slow disks for processes that run: a library that stands between a program and the C library, made by `cc` from wrong.c."""
import mmap
import pathlib
import struct

from network import run

FIELDS = struct.Struct("4q")


class Wrong:
    """What is wrong with one process; its file and the library lie under `folder`."""

    def __init__(self, folder, name):
        folder = pathlib.Path(folder)
        self.library, self.file = folder / "wrong.so", folder / f"wrong-{name}"
        if not self.library.exists():
            run("cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", self.library, pathlib.Path(__file__).with_suffix(".c"), "-ldl")
        self.file.write_bytes(bytes(FIELDS.size))
        with self.file.open("r+b") as opened:
            self.shared = mmap.mmap(opened.fileno(), FIELDS.size)

    def words(self):
        """What stands before the command that starts the process."""
        return ["env", f"LD_PRELOAD={self.library}", f"FAIRWEIR_WRONG={self.file}"]

    def now(self, ahead_ms=0, slow_ms=0):
        """Its time of day is so far ahead from here on, and its writes take so much longer. Says how many times it read and how many writes waited since the last change."""
        felt = FIELDS.unpack(self.shared)[2:]
        self.shared[:] = FIELDS.pack(ahead_ms, slow_ms, 0, 0)
        return felt
