//! What a store says about itself: its format, and the chain it belongs to.

use crate::error::{StartError, StoreError};
use commonware_codec::{Copying, FixedSize as _, ReadExt as _, Write as _};
use commonware_storage::{
    Context as StorageContext,
    metadata::{self, Metadata},
};
use commonware_utils::sequence::FixedBytes;
use fairweir_types::Digest;

/// The format that this program reads and writes.
pub const STORE_FORMAT: u16 = 1;
const KEY: FixedBytes<1> = FixedBytes::new([0]);
const RECORD_BYTES: usize = 2 + Digest::SIZE;

/// Marks a new store; checks an old one.
pub(crate) async fn check<E: StorageContext>(
    context: E,
    prefix: &str,
    genesis: Digest,
) -> Result<(), StartError> {
    let config = metadata::Config {
        partition: format!("{prefix}-format"),
        codec_config: (),
    };
    let metadata: Metadata<E, FixedBytes<1>, FixedBytes<RECORD_BYTES>> =
        Metadata::init(context, config)
            .await
            .map_err(StoreError::new)?;
    let Some(record) = metadata.get(&KEY) else {
        let mut record = [0; RECORD_BYTES];
        let mut buf = record.as_mut_slice();
        STORE_FORMAT.write(&mut buf);
        genesis.write(&mut buf);
        metadata
            .put_sync(KEY, FixedBytes::new(record))
            .await
            .map_err(StoreError::new)?;
        return Ok(());
    };
    let mut bytes = Copying(record.as_ref());
    let found = u16::read(&mut bytes).map_err(StoreError::new)?;
    if found != STORE_FORMAT {
        return Err(StartError::OtherFormat {
            expected: STORE_FORMAT,
            found,
        });
    }
    let found = Digest::read(&mut bytes).map_err(StoreError::new)?;
    if found != genesis {
        return Err(StartError::OtherGenesis {
            expected: genesis,
            found,
        });
    }
    Ok(())
}
