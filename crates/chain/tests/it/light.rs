//! Certificates checked with the genesis alone.

use crate::harness::{config, genesis, start_solo, transfer, user};
use commonware_codec::{DecodeExt as _, Encode as _};
use commonware_runtime::{Runner as _, deterministic};
use fairweir_chain::{
    FinalisedBlock,
    light::{LightClient, LightError},
};
use fairweir_types::{BlockHeader, Genesis, Height};
use std::time::Duration;

fn blocks(count: u64) -> (Genesis, Vec<FinalisedBlock>) {
    let (genesis, keys) = genesis(1);
    let config = config(&genesis, &keys[0]);
    let blocks =
        deterministic::Runner::timed(Duration::from_secs(60)).start(|context| async move {
            let (chain, _tasks) = start_solo(&context, config).await;
            chain.submit(transfer(&user(1), 0)).unwrap();
            let mut subscription = chain.subscribe(Height(1));
            let mut blocks = Vec::new();
            for _ in 0..count {
                blocks.push(subscription.next().await.unwrap());
            }
            blocks
        });
    (genesis, blocks)
}

#[test]
fn every_byte_of_header_and_certificate_matters() {
    let (genesis, blocks) = blocks(1);
    let light = LightClient::new(&genesis).unwrap();
    let FinalisedBlock {
        block,
        certificate,
        digest,
        ..
    } = &blocks[0];
    assert_eq!(light.verify(&block.header, certificate).unwrap(), *digest);
    for position in 0..certificate.len() {
        for flip in [1, 0x80, 0xff] {
            let mut mutated = certificate.clone();
            mutated[position] ^= flip;
            assert!(
                light.verify(&block.header, &mutated).is_err(),
                "certificate byte {position} ^ {flip:#x}"
            );
        }
    }
    for length in 0..certificate.len() {
        assert!(light.verify(&block.header, &certificate[..length]).is_err());
    }
    let encoded = block.header.encode().to_vec();
    for position in 0..encoded.len() {
        let mut mutated = encoded.clone();
        mutated[position] ^= 1;
        if let Ok(header) = BlockHeader::decode(bytes::Bytes::from(mutated)) {
            assert!(
                light.verify(&header, certificate).is_err(),
                "header byte {position}"
            );
        }
    }
}

#[test]
fn each_check_has_its_error() {
    let (genesis, blocks) = blocks(2);
    let light = LightClient::new(&genesis).unwrap();
    let [first, second] = blocks.as_slice() else {
        panic!("two blocks")
    };
    let header = &first.block.header;
    let change = |change: fn(&mut BlockHeader)| {
        let mut header = header.clone();
        change(&mut header);
        light
            .verify(&header, &first.certificate)
            .unwrap_err()
            .code()
    };
    assert_eq!(change(|header| header.version = 9), "other_version");
    assert_eq!(
        change(|header| header.certificate_scheme = 9),
        "other_scheme"
    );
    assert_eq!(change(|header| header.height = Height(9)), "other_block");
    assert_eq!(
        light
            .verify(header, &second.certificate)
            .unwrap_err()
            .code(),
        "other_block"
    );
    assert_eq!(
        light.verify(header, &[0; 2_000]).unwrap_err().code(),
        "certificate_too_long"
    );
    assert_eq!(
        light.verify(header, &[]).unwrap_err().code(),
        "certificate_malformed"
    );
    let mut other = genesis.clone();
    other.chain_id = fairweir_types::ChainId::new("dev-other").unwrap();
    let other_light = LightClient::new(&other).unwrap();
    assert!(matches!(
        other_light.verify(header, &first.certificate),
        Err(LightError::OtherChain { .. })
    ));
    let mut same_name = genesis.clone();
    same_name.time = fairweir_types::Millis(1);
    let same_name = LightClient::new(&same_name).unwrap();
    assert!(matches!(
        same_name.verify(header, &first.certificate),
        Err(LightError::BadCertificate { .. })
    ));
    let mut unproven = genesis;
    let mut validators = unproven.validators.clone().into_vec();
    validators[0].possession = crate::harness::user_vote_key().prove_possession();
    unproven.validators = fairweir_types::BoundedVec::new(validators).unwrap();
    assert!(matches!(
        LightClient::new(&unproven),
        Err(LightError::Genesis(_))
    ));
}

#[test]
fn a_block_is_final_through_its_descendants() {
    let (genesis, blocks) = blocks(3);
    let light = LightClient::new(&genesis).unwrap();
    let headers: Vec<BlockHeader> = blocks
        .iter()
        .map(|block| block.block.header.clone())
        .collect();
    let certificate = &blocks[2].certificate;
    assert_eq!(
        light
            .verify_through(&headers[0], &headers[1..], certificate)
            .unwrap(),
        blocks[0].digest
    );
    assert!(matches!(
        light.verify_through(&headers[0], &headers[2..], certificate),
        Err(LightError::BrokenLink { position: 0 })
    ));
    assert!(
        light
            .verify_through(&headers[0], &headers[1..2], certificate)
            .is_err()
    );
}
