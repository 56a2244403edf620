#!/usr/bin/env python3
"""Checks a file of `fairweir proof` without any code of Fairweir, by docs/reference/proofs.md and the records that it names.

Usage: check_proof.py GENESIS PROOF [HANDOVERS]
GENESIS is `genesis.bin` of a node's folder, whose digest is what you trust; prints what is proven. Needs py_ecc for the curve BLS12-381 (`pip install py_ecc`, seconds for
each certificate); everything else is of the standard library."""
import hashlib
import json
import sys

CHUNK_BYTES, CHUNK_HEIGHT = 64, 9
EPOCH_BLOCKS_PARAM, EPOCH_BLOCKS = 81, 300
UPDATE, EPOCH_BEGAN = 0xD2, 89


class Refused(Exception):
    """The proof does not hold, or is none."""


def need(holds, why):
    if not holds:
        raise Refused(why)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def u64(number):
    return number.to_bytes(8, "big")


def varint(number):
    """Unsigned LEB128."""
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def tagged(domain, *parts):
    """H(domain; parts)."""
    return sha256(b"fairweir/1/" + domain, *(u64(len(part)) + part for part in parts))


class Reader:
    """Canonical encodings, from the first byte to the last."""

    def __init__(self, encoded):
        self.encoded, self.at = encoded, 0

    def take(self, count):
        need(self.at + count <= len(self.encoded), "it ends too early")
        self.at += count
        return self.encoded[self.at - count : self.at]

    def number(self, count):
        return int.from_bytes(self.take(count), "big")

    def varint(self):
        number = shift = 0
        while True:
            byte = self.take(1)[0]
            number |= (byte & 0x7F) << shift
            need(number < 1 << 64, "a number is too long")
            if byte < 0x80:
                need(byte or not shift, "a number is written with needless zeros")
                return number
            shift += 7

    def bytes(self):
        return self.take(self.varint())

    def many(self, read):
        return [read() for _ in range(self.varint())]

    def maybe(self, read):
        tag = self.take(1)[0]
        need(tag < 2, "a value is neither there nor missing")
        return read() if tag else None

    def end(self):
        need(self.at == len(self.encoded), "something is left over")


def file(path, magic):
    """The record of a file, whose last bytes are a digest of all before."""
    content = open(path, "rb").read()
    need(content[:8] == magic, f"{path} is no such file")
    need(content[-32:] == tagged(b"blob", content[:-32]), f"{path} was changed")
    return Reader(content[8:-32])


def header(reader):
    """A block's header, with its digest."""
    begun = reader.at
    version, chain = reader.take(1)[0], reader.bytes()
    scheme, height, parent = reader.take(1)[0], reader.number(8), reader.take(32)
    epoch, view, parent_view = (reader.number(8) for _ in range(3))
    reader.take(32 + 8)
    reader.maybe(lambda: reader.take(96))
    _beacon, _transactions, _outcomes, events, _outbox, state, _operations = (reader.take(32) for _ in range(7))
    reader.take(8 + 8)
    need((version, scheme) == (1, 1), "the header is of another version")
    digest = tagged(b"block-header", reader.encoded[begun : reader.at])
    return {"chain": chain, "height": height, "parent": parent, "epoch": epoch, "view": view, "parent_view": parent_view, "events": events, "state": state, "digest": digest}


class Chain:
    """Who has the seats, from the genesis on."""

    def __init__(self, path):
        encoded = open(path, "rb").read()
        reader = Reader(encoded)
        self.genesis, self.name, _time = tagged(b"genesis", encoded), reader.bytes(), reader.take(8)
        reader.many(lambda: reader.take(20 + 8))
        # Identity, vote key, proof of possession, account.
        validators = reader.many(lambda: (reader.take(32), reader.take(48), reader.take(96 + 20)))
        params = dict(reader.many(lambda: (reader.number(2), reader.number(8))))
        self.epoch_blocks = params.get(EPOCH_BLOCKS_PARAM, EPOCH_BLOCKS)
        # By the epoch since which they have them.
        self.seats = {0: [vote_key for _, vote_key, _ in validators]}

    def certified(self, block, certificate):
        """Whether more than two thirds of those with seats signed a block."""
        from py_ecc.bls import G2ProofOfPossession

        need(block["chain"] == self.name, "the block is of another chain")
        need(block["epoch"] == (block["height"] - 1) // self.epoch_blocks, "the block is of another epoch")
        reader = Reader(certificate)
        epoch, view, parent_view, digest = reader.varint(), reader.varint(), reader.varint(), reader.take(32)
        seats = self.seats[max(since for since in self.seats if since <= epoch)]
        count = reader.number(8)
        need(count == len(seats), "the certificate is of others than have the seats")
        bits = reader.take((count + 7) // 8)
        signers = [key for place, key in enumerate(seats) if bits[place // 8] >> place % 8 & 1]
        need(sum(byte.bit_count() for byte in bits) == len(signers), "a signer has no seat")
        signature = reader.take(96)
        reader.end()
        need(digest == block["digest"], "the certificate is over another block")
        need(epoch == block["epoch"] and view >= block["view"], "the certificate is of another view")
        need(view > block["view"] or parent_view == block["parent_view"], "the certificate is of another parent")
        need(len(signers) >= count - (count - 1) // 3, "too few signed")
        namespace = b"fairweir/1/vote/" + self.genesis + b"_FINALIZE"
        vote = varint(epoch) + varint(view) + varint(parent_view) + digest
        message = varint(len(namespace)) + namespace + vote
        need(G2ProofOfPossession.FastAggregateVerify(signers, message, signature), "the signature does not hold")

    def hand_over(self, reader):
        """Takes one handover: the last block of an epoch, and who has the seats of the next."""
        block, certificate = header(reader), reader.bytes()
        begun = reader.at
        epoch, _ends, _by_stake, since = reader.number(8), reader.take(8), reader.take(1), reader.number(8)
        seats = reader.many(lambda: (reader.take(32), reader.take(48), reader.take(8)))
        leaf = tagged(b"merkle-leaf", bytes([EPOCH_BEGAN]) + reader.encoded[begun : reader.at])
        position, count = reader.number(8), reader.number(8)
        siblings = reader.many(lambda: reader.take(32))
        self.certified(block, certificate)
        need(epoch == block["epoch"] + 1 and since <= epoch, "the event is of another epoch")
        need(block["height"] == epoch * self.epoch_blocks, "the block is not the last of its epoch")
        need(merkle_root(leaf, position, count, siblings) == block["events"], "the event is not in the block")
        self.seats.setdefault(since, [vote_key for _, vote_key, _ in seats])


def merkle_root(node, position, count, siblings):
    """The root of a tree after RFC 6962 in which a leaf has a position."""
    need(position < count, "the leaf is beyond the tree")
    siblings, width = iter(siblings), count
    while width > 1:
        # An odd node at the end goes up as it is.
        if position % 2 or position + 1 < width:
            sibling = next(siblings, b"")
            node = tagged(b"merkle-node", sibling, node) if position % 2 else tagged(b"merkle-node", node, sibling)
        position, width = position // 2, (width + 1) // 2
    need(next(siblings, None) is None, "the path is too long")
    return tagged(b"merkle-root", u64(count), node)


def peaks(leaves):
    """The perfect trees of a Merkle mountain range: first leaf and height of each."""
    found, first = [], 0
    for height in reversed(range(leaves.bit_length())):
        if leaves >> height & 1:
            found.append((first, height))
            first += 1 << height
    return found


def position(first, height):
    """The position of the root of a perfect tree among all nodes, counted as they came to be."""
    return 2 * first - first.bit_count() + (2 << height) - 2


def fold(one, other):
    return sha256(one, other)


def state_root(reader, operation):
    """The root to which the proof of an active operation of the store's log leads."""
    location, chunk = reader.varint(), reader.take(CHUNK_BYTES)
    leaves, inactive = reader.varint(), reader.varint()
    digests = iter(reader.many(lambda: reader.take(32)))
    partial = reader.maybe(lambda: reader.take(32))
    operations = reader.take(32)
    bit, chunks = location % (8 * CHUNK_BYTES), leaves >> CHUNK_HEIGHT
    need(location < leaves, "the operation is beyond the log")
    need(chunk[bit // 8] >> bit % 8 & 1, "the operation was replaced by a later one")
    rest = leaves % (8 * CHUNK_BYTES)
    need((partial is not None) == bool(rest), "the last part of the bitmap is missing, or too much")
    if rest and location >> CHUNK_HEIGHT == chunks:
        need(partial == sha256(chunk), "the bitmap is another one")

    def following():
        digest = next(digests, None)
        need(digest is not None, "the path is too short")
        return digest

    def climb(first, height):
        if not first <= location < first + (1 << height):
            return following()
        if height == 0:
            return sha256(u64(position(first, 0)), operation)
        half = first + (1 << height - 1)
        left = climb(first, height - 1)
        node = sha256(u64(position(first, height)), left, climb(half, height - 1))
        is_chunk = height == CHUNK_HEIGHT and first >> CHUNK_HEIGHT < chunks
        return sha256(chunk, node) if is_chunk and any(chunk) else node

    mountains = peaks(leaves)
    need(inactive <= len(mountains), "more peaks are inactive than there are")
    mine = next(place for place, (first, height) in enumerate(mountains) if first <= location < first + (1 << height))
    # Before the operation's peak: one digest for all inactive ones, the others each; after it: inactive ones each, one digest for all others.
    folded = min(inactive, mine)
    before = [following()] if folded else []
    before += [following() for _ in range(mine - folded)]
    after_count = len(mountains) - mine - 1
    single = min(max(inactive - mine - 1, 0), after_count)
    after = [following() for _ in range(single)]
    after += [following()] if after_count > single else []
    all_peaks = [*before, climb(*mountains[mine]), *after]
    need(next(digests, None) is None, "the path is too long")
    first_active = inactive if not folded else inactive - folded + 1
    root, others = all_peaks[0], all_peaks[1:]
    for _ in range(first_active - 1):
        root = fold(root, others.pop(0))
    if others:
        bag = others.pop()
        while others:
            bag = fold(others.pop(), bag)
        root = fold(root, bag)
    # A mountain range, folded from behind; then how many leaves there are.
    grafted = sha256(bytes([0, 1]), u64(leaves), u64(inactive) if inactive else b"", root)
    return sha256(operations, grafted, u64(rest) + partial if rest else b"")


def operation(key_hash, key, record, next_hash):
    """An operation of the log that writes a record."""
    return bytes([UPDATE]) + key_hash + varint(len(key)) + key + varint(len(record)) + record + next_hash


def record_in(proof, key, root):
    """The record under a key in the state of a root; nothing if none is there."""
    reader, key_hash = Reader(proof), sha256(key)
    is_there = reader.number(1)
    need(is_there < 2, "the proof shows neither a record nor that there is none")
    if is_there:
        record = reader.bytes()
        # The hash of the next key stands behind the path.
        next_hash = reader.encoded[-32:]
        found = state_root(reader, operation(key_hash, key, record, next_hash))
        reader.take(32)
    else:
        need(reader.take(1) == b"\0", "a state that holds nothing is of no chain")
        begun = reader.at
        skip(reader)
        hash_before, key_before, record_before, next_hash = reader.take(32), reader.bytes(), reader.bytes(), reader.take(32)
        inside = hash_before < key_hash < next_hash
        around = next_hash <= hash_before and (key_hash > hash_before or key_hash < next_hash)
        need(inside or around, "the key is not between those that are shown")
        path, record = Reader(proof[begun:]), None
        found = state_root(path, operation(hash_before, key_before, record_before, next_hash))
    reader.end()
    need(found == root, "the record is not in the state")
    return record


def skip(reader):
    """Passes a path, whose operation stands behind it."""
    reader.varint(), reader.take(CHUNK_BYTES), reader.varint(), reader.varint()
    reader.many(lambda: reader.take(32)), reader.maybe(lambda: reader.take(32)), reader.take(32)


def check(genesis, path, handovers=None):
    """What a proof shows, by those who have the seats."""
    chain = Chain(genesis)
    if handovers:
        reader = file(handovers, b"FWSEATS\1")
        need(reader.take(32) == chain.genesis, "the handovers are of another chain")
        reader.many(lambda: chain.hand_over(reader))
        reader.end()
    reader = file(path, b"FWSTATE\1")
    key, block = reader.bytes(), header(reader)
    descendants, certificate, proof = reader.many(lambda: header(reader)), reader.bytes(), reader.bytes()
    reader.end()
    last = block
    for later in descendants:
        need((later["parent"], later["height"]) == (last["digest"], last["height"] + 1), "a header does not follow the one before")
        last = later
    chain.certified(last, certificate)
    record = record_in(proof, key, block["state"])
    shown = {"genesis": chain.genesis.hex(), "height": block["height"], "key": key.hex(), "record": record and record.hex()}
    if key[0] == 1 and record:
        shown["account"] = {"balance": int.from_bytes(record[:8], "big"), "nonce": int.from_bytes(record[8:], "big")}
    return shown


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    try:
        print(json.dumps(check(*sys.argv[1:])))
    except (Refused, OSError) as error:
        sys.exit(f"error: {error}")
