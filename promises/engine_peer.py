"""llama.cpp on the same weights, for comparison: the library that the npm package @node-llama-cpp/linux-x64 carries, driven through its
C interface. Measures in processor time."""

import ctypes
import pathlib
import time


class Padded(ctypes.Structure):
    """A structure of parameters, larger than any version's: what is passed by value is read from its beginning."""

    _fields_ = [("words", ctypes.c_int32 * 256)]


class Batch(ctypes.Structure):
    _fields_ = [
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embd", ctypes.c_void_p),
        ("pos", ctypes.POINTER(ctypes.c_int32)),
        ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    ]


# Places of the parameters that are changed, in words, and the defaults that stand there: if another version moved them, it shows.
CONTEXT = {"n_ctx": (0, 512), "n_batch": (1, 2048), "n_ubatch": (2, 512), "n_threads": (7, 4), "n_threads_batch": (8, 4)}
QUIET = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda level, text, data: None)


class Peer:
    """A context of one thread."""

    def __init__(self, libraries, model, context=1024):
        folder = pathlib.Path(libraries)
        for name in ("libggml-base.so", "libggml.v0.5.0.so", "libllama.v0.5.0.so"):
            library = ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL)
            if name.startswith("libggml."):
                library.ggml_log_set(QUIET, None)
                library.ggml_backend_load_all_from_path(str(folder).encode())
        self.llama = library
        library.llama_log_set(QUIET, None)
        library.llama_model_default_params.restype = Padded
        library.llama_context_default_params.restype = Padded
        for name in ("llama_model_load_from_file", "llama_init_from_model", "llama_get_memory"):
            getattr(library, name).restype = ctypes.c_void_p
        library.llama_model_load_from_file.argtypes = [ctypes.c_char_p, Padded]
        library.llama_init_from_model.argtypes = [ctypes.c_void_p, Padded]
        library.llama_get_memory.argtypes = [ctypes.c_void_p]
        library.llama_memory_clear.argtypes = [ctypes.c_void_p, ctypes.c_bool]
        library.llama_decode.argtypes = [ctypes.c_void_p, Batch]
        library.llama_get_logits_ith.argtypes = [ctypes.c_void_p, ctypes.c_int32]
        library.llama_get_logits_ith.restype = ctypes.POINTER(ctypes.c_float)
        library.llama_n_threads.argtypes = [ctypes.c_void_p]
        loaded = library.llama_model_load_from_file(str(model).encode(), library.llama_model_default_params())
        parameters = library.llama_context_default_params()
        for name, (place, default) in CONTEXT.items():
            if parameters.words[place] != default:
                raise RuntimeError(f"{name} is not where it is expected")
        wanted = {"n_ctx": context, "n_threads": 1, "n_threads_batch": 1}
        for name, value in wanted.items():
            parameters.words[CONTEXT[name][0]] = value
        self.context = library.llama_init_from_model(loaded, parameters)
        if not loaded or not self.context or library.llama_n_threads(self.context) != 1:
            raise RuntimeError("llama.cpp did not load the model on one thread")
        self.model = loaded
        self.memory = library.llama_get_memory(self.context)

    def step(self, rows):
        """rows: (token, position, sequence, wants logits)."""
        count = len(rows)
        ids = [ctypes.c_int32(row[2]) for row in rows]
        batch = Batch(
            count,
            (ctypes.c_int32 * count)(*(row[0] for row in rows)),
            None,
            (ctypes.c_int32 * count)(*(row[1] for row in rows)),
            (ctypes.c_int32 * count)(*([1] * count)),
            (ctypes.POINTER(ctypes.c_int32) * count)(*(ctypes.pointer(i) for i in ids)),
            (ctypes.c_int8 * count)(*(int(row[3]) for row in rows)),
        )
        if self.llama.llama_decode(self.context, batch) != 0:
            raise RuntimeError("llama.cpp did not decode")

    def logits(self, row, count):
        return self.llama.llama_get_logits_ith(self.context, row)[:count]

    def clear(self):
        self.llama.llama_memory_clear(self.memory, True)

    def prefill(self, tokens):
        """Seconds."""
        self.clear()
        start = time.process_time()
        self.step([(token, at, 0, at == len(tokens) - 1) for at, token in enumerate(tokens)])
        return time.process_time() - start

    def decode(self, tokens, steps):
        """Seconds of so many steps after a prefill."""
        self.prefill(tokens)
        start = time.process_time()
        for step in range(steps):
            self.step([(tokens[step % len(tokens)], len(tokens) + step, 0, True)])
        return time.process_time() - start
