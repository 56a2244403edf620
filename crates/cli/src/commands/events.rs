use crate::{
    Global,
    connection::with_connection,
    describe::{self, Names},
    failure::{Exit, code},
    output,
};
use fairweir_client::orders::concerns;
use fairweir_gateway::json;
use fairweir_types::{Digest, Event, Height, Millis, order::OrderId};
use serde_json::json;

/// Show what happened, block by block.
#[derive(Debug, clap::Args)]
pub(crate) struct Events {
    /// The first block to show.
    #[arg(long, default_value_t = 1, value_name = "HEIGHT")]
    from: u64,
    /// Only events of this order (64 hexadecimal digits).
    #[arg(long, value_name = "ORDER")]
    order: Option<String>,
    /// Keep following new blocks until Ctrl-C.
    #[arg(long, short)]
    follow: bool,
}

impl Events {
    pub(crate) fn run(&self, global: &Global) -> Result<(), Exit> {
        let order = self.order.as_deref().map(str::parse::<Digest>).transpose();
        let order = order
            .map_err(|error| Exit::new(code::FAILED, error))?
            .map(OrderId);
        // Names are a convenience: without keys the addresses are shown.
        let names = match fairweir_node::Passphrase::of_dev_if_any(&global.data_dir()?)? {
            Some(_) => Names::of(&global.keystore()?),
            None => Names::default(),
        };
        with_connection(global, |connection| async move {
            let tip = connection.client.status().await?.header.height;
            let mut events = connection.client.follow(Height(self.from)).await?;
            if !self.follow && Height(self.from) > tip {
                return Ok(());
            }
            loop {
                let page = tokio::select! {
                    page = events.next() => page?,
                    _ = tokio::signal::ctrl_c() => return Ok(()),
                };
                for event in page
                    .events
                    .iter()
                    .filter(|event| order.is_none_or(|order| concerns(event, order)))
                {
                    show(global, &names, page.height, page.time, event);
                }
                if !self.follow && page.height >= tip && !page.more {
                    return Ok(());
                }
            }
        })
    }
}

fn show(global: &Global, names: &Names, height: Height, time: Millis, event: &Event) {
    if global.json {
        output::json(
            &json!({"height": height.get(), "time_ms": time.get(), "event": json::event(event)}),
        );
    } else {
        let name = json::event_name(event);
        output::line(format!(
            "{height:>8}  {name:<20} {}",
            describe::event(names, event)
        ));
    }
}
