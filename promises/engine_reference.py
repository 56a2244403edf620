"""MiniLM in double precision with numpy, straight from the paper's formulas: tokens in, vectors out.

Arguments: model.safetensors config.json tokenizer.json TEXTS TOKENS. Writes the tokens of each line of TEXTS to TOKENS, and prints one
vector per line."""

import json
import math
import struct
import sys

import numpy
from tokenizers import Tokenizer

weights_path, config_path, tokenizer_path, texts_path, tokens_path = sys.argv[1:]
with open(config_path) as file:
    config = json.load(file)
with open(weights_path, "rb") as file:
    content = file.read()
(length,) = struct.unpack("<Q", content[:8])
header = json.loads(content[8 : 8 + length])


def tensor(name):
    info = header[name]
    begin, end = (8 + length + offset for offset in info["data_offsets"])
    return numpy.frombuffer(content[begin:end], "<f4").astype(numpy.float64).reshape(info["shape"])


def affine(name, x):
    return x @ tensor(name + ".weight").T + tensor(name + ".bias")


def norm(name, x):
    x = x - x.mean(-1, keepdims=True)
    x = x / numpy.sqrt((x * x).mean(-1, keepdims=True) + config["layer_norm_eps"])
    return x * tensor(name + ".weight") + tensor(name + ".bias")


erf = numpy.vectorize(math.erf)


def encode(tokens):
    count, heads = len(tokens), config["num_attention_heads"]
    x = tensor("embeddings.word_embeddings.weight")[tokens]
    x = x + tensor("embeddings.position_embeddings.weight")[:count] + tensor("embeddings.token_type_embeddings.weight")[0]
    x = norm("embeddings.LayerNorm", x)
    for layer in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{layer}."
        parts = [affine(name + "attention.self." + part, x) for part in ("query", "key", "value")]
        query, key, value = (part.reshape(count, heads, -1).transpose(1, 0, 2) for part in parts)
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
        scores = numpy.exp(scores - scores.max(-1, keepdims=True))
        scores = scores / scores.sum(-1, keepdims=True)
        mixed = (scores @ value).transpose(1, 0, 2).reshape(count, -1)
        x = norm(name + "attention.output.LayerNorm", x + affine(name + "attention.output.dense", mixed))
        wide = affine(name + "intermediate.dense", x)
        wide = 0.5 * wide * (1 + erf(wide / math.sqrt(2)))
        x = norm(name + "output.LayerNorm", x + affine(name + "output.dense", wide))
    mean = x.mean(0)
    return mean / numpy.linalg.norm(mean)


tokenizer = Tokenizer.from_file(tokenizer_path)
tokenizer.no_padding()
tokenizer.enable_truncation(config["max_position_embeddings"])
with open(texts_path) as texts, open(tokens_path, "w") as out:
    for text in texts:
        tokens = tokenizer.encode(text.rstrip("\n")).ids
        print(*tokens, file=out)
        print(*(repr(float(value)) for value in encode(tokens)))
