//! A validator that votes twice in every view, with the keys of a folder that joined a network.
//!
//! For showing what becomes of one, and for nothing else: it is never in a release.

use anyhow::Context as _;
use clap::Parser;
use commonware_runtime::{Runner as _, tokio as runtime};
use fairweir_chain::{
    testing::vote_twice,
    transport::{self, TcpConfig},
};
use fairweir_node::{DataDir, Keystore, Passphrase, ceremony::GenesisFile, network::names};
use fairweir_types::Digest;
use std::{io::Write as _, net::SocketAddr, path::PathBuf};

/// Vote twice in every view, in the place of a folder's validator, until Ctrl-C.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The data folder of a validator that joined and does not run.
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// The finalised genesis file, which says where the others are.
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// Where to listen for other validators.
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
}

async fn vote(context: runtime::Context, arguments: Arguments) -> anyhow::Result<()> {
    let data = DataDir::open(&arguments.data)?;
    let passphrase =
        std::env::var("FAIRWEIR_PASSPHRASE").context("FAIRWEIR_PASSPHRASE opens the keystore")?;
    let keys = Keystore::open(&data, &Passphrase::new(passphrase))?;
    let file = GenesisFile::parse(&std::fs::read_to_string(&arguments.genesis)?)?;
    let genesis = file.genesis()?;
    let peers = file.peers();
    let address = |identity: &[u8; 32]| {
        let identity = Digest(*identity).to_string();
        peers.get(&identity).copied()
    };
    let validators = genesis.validators.iter();
    let addresses: Option<Vec<_>> = validators
        .map(|validator| address(&validator.identity))
        .collect();
    let tcp = TcpConfig {
        listen: arguments.listen,
        addresses: addresses.context("the file says where each validator is")?,
    };
    let identity = keys.account(names::VALIDATOR)?;
    let (transport, _) = transport::tcp(&context, &genesis, &identity, &tcp)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready: {}", identity.address())?;
    out.flush()?;
    drop(out);
    let vote_key = keys.vote_key(names::VOTE)?;
    let voting = vote_twice(&genesis, &vote_key, transport);
    let stopped = std::pin::pin!(tokio::signal::ctrl_c());
    futures::future::select(stopped, std::pin::pin!(voting)).await;
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    runtime::Runner::default().start(|context| vote(context, arguments))
}
