//! The block as consensus sees it: [`fairweir_types::Block`] with the traits that the library asks for.

use crate::{
    application::root_of,
    genesis::{BlockDigest, Context, Identity, identity},
};
use commonware_codec::{
    Buf, EncodeSize, Error as CodecError, FixedSize as _, Read, ReadExt as _, Write,
};
use commonware_consensus::{
    Block as ConsensusBlock, BoundedBlock, CertifiableBlock, Heightable,
    types::{Epoch, Height, Round, View},
};
use commonware_cryptography::Digestible;
use fairweir_types::{
    Block, BlockHeader,
    limits::{BLOCK_TX_BYTES_MAX, CHAIN_ID_BYTES_MAX},
};

/// Bytes of one encoded header at most: 13 fields of at most 97 bytes, and the chain id.
pub const HEADER_BYTES_MAX: usize = 1_024 + CHAIN_ID_BYTES_MAX;
/// Bytes of one encoded block at most.
pub const BLOCK_BYTES_MAX: usize = HEADER_BYTES_MAX + BLOCK_TX_BYTES_MAX + 16;

/// A block whose form was checked: its proposer's identity is a key; one that was read is not too long, and has the
/// transactions of its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChainBlock {
    block: Block,
    leader: Identity,
}

impl ChainBlock {
    /// Wraps a block; `None` if the proposer's identity is no key.
    pub(crate) fn new(block: Block) -> Option<Self> {
        let leader = identity(&block.header.proposer)?;
        Some(Self { block, leader })
    }

    /// The block.
    pub(crate) const fn block(&self) -> &Block {
        &self.block
    }

    /// The header.
    pub(crate) const fn header(&self) -> &BlockHeader {
        &self.block.header
    }
}

/// The digest of a header, as consensus names it.
pub(crate) fn digest_of(header: &BlockHeader) -> BlockDigest {
    BlockDigest::from(header.digest().0)
}

impl Write for ChainBlock {
    fn write(&self, buf: &mut impl bytes::BufMut) {
        self.block.write(buf);
    }
}

impl EncodeSize for ChainBlock {
    fn encode_size(&self) -> usize {
        self.block.encode_size()
    }
}

impl Read for ChainBlock {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, CodecError> {
        let block = Block::read(buf)?;
        if block.encode_size() > BLOCK_BYTES_MAX {
            return Err(CodecError::Invalid("block", "longer than a block may be"));
        }
        // The digest that is voted on and asked for is the header's: whoever sends another body under it would have it stored.
        if root_of(block.transactions.as_slice()) != block.header.transactions_root {
            return Err(CodecError::Invalid(
                "block",
                "the transactions are not those of the header",
            ));
        }
        Self::new(block).ok_or(CodecError::Invalid(
            "block",
            "the proposer is no ed25519 key",
        ))
    }
}

impl Digestible for ChainBlock {
    type Digest = BlockDigest;

    fn digest(&self) -> BlockDigest {
        digest_of(&self.block.header)
    }
}

impl Heightable for ChainBlock {
    fn height(&self) -> Height {
        Height::new(self.block.header.height.get())
    }
}

impl ConsensusBlock for ChainBlock {
    fn parent(&self) -> BlockDigest {
        BlockDigest::from(self.block.header.parent.0)
    }
}

impl CertifiableBlock for ChainBlock {
    type Context = Context;

    fn context(&self) -> Context {
        let header = &self.block.header;
        Context {
            round: Round::new(Epoch::new(header.epoch), View::new(header.view)),
            leader: self.leader.clone(),
            parent: (View::new(header.parent_view), self.parent()),
        }
    }
}

impl BoundedBlock for ChainBlock {
    fn max_encode_size((): &()) -> usize {
        BLOCK_BYTES_MAX
    }
}

const _: () = assert!(BlockDigest::SIZE == 32, "a block's digest is SHA-256");
