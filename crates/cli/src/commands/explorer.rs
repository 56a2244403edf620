use crate::{
    Global,
    connection::{Connection, with_connection},
    door,
    ending::wait_for_end,
    failure::{Exit, code},
    output,
};
use fairweir_gateway::explorer::{self, ExplorerOptions, Following, Index, IndexError};
use fairweir_types::{Genesis, Height};
use serde_json::json;
use std::{
    io::{BufWriter, Write as _},
    net::SocketAddr,
    sync::Arc,
};

/// The database in the data folder.
const DATABASE: &str = "explorer.db";

const AFTER_HELP: &str = "\
The index is made of final blocks alone, each checked against its certificate. It can be deleted at any time: the next start makes
it anew. A PostgreSQL database must exist, and should hold nothing else whose name begins with explorer_.

Try:
  fairweir explorer                                            an index in the data folder, the API at port 8081
  curl http://127.0.0.1:8081/api/v1/status                     how far it is, and where all money is
  curl 'http://127.0.0.1:8081/api/v1/non-matches?limit=5'      why workers were not taken
  curl -N http://127.0.0.1:8081/api/v1/events/stream           everything that happens, as it becomes final
  curl http://127.0.0.1:8081/api/v1/openapi.json               all that can be asked
  fairweir explorer --database postgres://me@localhost/fairweir";

/// Serve the explorer's API: blocks, orders, sessions, receipts, verdicts, disputes and reasons, as JSON.
///
/// It follows the chain of the node into an index of its own, and answers from there.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Explorer {
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:8081", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// The database of the index: sqlite:PATH or postgres://USER@HOST/NAME; by default a file in the data folder.
    #[arg(
        long,
        env = "FAIRWEIR_EXPLORER_DATABASE",
        value_name = "DATABASE",
        hide_env_values = true
    )]
    database: Option<String>,
    /// Streams of events at the same time; one address has a quarter of them at most, as of the 1,024 connections.
    #[arg(long, default_value_t = 256, value_name = "NUMBER")]
    streams_max: usize,
    /// Make the index up to this block and end, instead of serving.
    #[arg(long, value_name = "HEIGHT")]
    until: Option<u64>,
    /// Print every row of the index and end, instead of serving: indices of the same blocks print the same.
    #[arg(long)]
    dump: bool,
}

fn exit(error: IndexError) -> Exit {
    Exit::new(code::MACHINE, error).context("the explorer's index cannot be opened")
}

/// The address of a file in the data folder, with what an address reserves written otherwise.
fn default_database(global: &Global) -> Result<String, Exit> {
    let path = global.data_dir()?.join(DATABASE);
    let path = path.to_string_lossy().replace('%', "%25");
    Ok(format!(
        "sqlite:{}",
        path.replace('?', "%3F").replace('#', "%23")
    ))
}

impl Explorer {
    pub(crate) fn run(self, global: &Global) -> Result<(), Exit> {
        let database = match &self.database {
            Some(database) => database.clone(),
            None => default_database(global)?,
        };
        with_connection(global, |connection| async move {
            let genesis = connection.client.genesis().await?;
            let index = Index::open(&database, &genesis).await.map_err(exit)?;
            let done = match self.until {
                Some(height) => until(&connection, &genesis, &index, Height(height)).await,
                None if self.dump => Ok(()),
                None => self.serve(global, &connection, genesis, &index).await,
            };
            let done = match done {
                Ok(()) if self.dump => dump(&index).await,
                done => done,
            };
            index.close().await;
            done
        })
    }

    async fn serve(
        &self,
        global: &Global,
        connection: &Connection,
        genesis: Genesis,
        index: &Index,
    ) -> Result<(), Exit> {
        let listener = door::listen(self.listen, false).await?;
        let address = listener.local_addr()?;
        if global.json {
            output::json(&json!({"ready": true, "url": format!("http://{address}/api/v1")}));
        } else {
            output::line(format!(
                "the explorer's API is at http://{address}/api/v1/status; Ctrl-C stops it"
            ));
        }
        let options = ExplorerOptions {
            streams_max: self.streams_max,
            ..ExplorerOptions::default()
        };
        let chain = (
            genesis.chain_id.as_str().to_owned(),
            genesis.digest().to_string(),
        );
        let following = Following::default();
        let client = connection.client.clone();
        let shutdown = async {
            let _ = wait_for_end().await;
        };
        let live = Arc::new(client.clone());
        let served = explorer::serve(
            options,
            index.clone(),
            chain,
            live,
            following.clone(),
            listener,
            shutdown,
        );
        tokio::select! {
            served = served => served.map_err(|error| Exit::new(code::MACHINE, error)),
            () = explorer::follow(client, genesis, index.clone(), following) => Ok(()),
        }
    }
}

async fn until(
    connection: &Connection,
    genesis: &Genesis,
    index: &Index,
    last: Height,
) -> Result<(), Exit> {
    let following = Following::default();
    explorer::follow_until(&connection.client, genesis, index, last, &following)
        .await
        .map_err(|error| {
            Exit::new(code::FAILED, error).context("the index does not follow the chain")
        })
}

async fn dump(index: &Index) -> Result<(), Exit> {
    let mut out = BufWriter::new(std::io::stdout());
    let dumped = index.dump(|line| writeln!(out, "{line}")).await;
    dumped.map_err(exit)?;
    Ok(out.flush()?)
}
