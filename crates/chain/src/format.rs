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
pub const STORE_FORMAT: u16 = 5;
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

#[cfg(test)]
mod tests {
    #![expect(
        clippy::unwrap_used,
        reason = "a failing test should stop at the line that fails"
    )]
    use super::{FixedBytes, KEY, Metadata, RECORD_BYTES, check, metadata};
    use crate::error::StartError;
    use commonware_runtime::{Runner as _, Supervisor as _, deterministic};
    use fairweir_types::Digest;

    #[test]
    fn a_store_is_opened_by_its_own_format_and_chain_only() {
        deterministic::Runner::default().start(|context| async move {
            let open = |prefix: &'static str, genesis| check(context.child("store"), prefix, genesis);
            let (mine, other) = (Digest([1; 32]), Digest([2; 32]));
            open("a", mine).await.unwrap();
            open("a", mine).await.unwrap();
            let refused = open("a", other).await.unwrap_err();
            assert!(matches!(refused, StartError::OtherGenesis { expected, found } if expected == other && found == mine));
            let config = metadata::Config { partition: "b-format".to_owned(), codec_config: () };
            let store: Metadata<_, FixedBytes<1>, FixedBytes<RECORD_BYTES>> =
                Metadata::init(context.child("raw"), config).await.unwrap();
            drop(store.put_sync(KEY, FixedBytes::new([9; RECORD_BYTES])).await.unwrap());
            let refused = open("b", mine).await.unwrap_err();
            assert!(matches!(refused, StartError::OtherFormat { found: 0x0909, .. }));
        });
    }
}
