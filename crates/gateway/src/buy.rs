//! From a request to its orders, and from their outputs to the response.

use crate::{
    error::ApiError,
    market::{Bill, ChatEvent, ChatRun, Done, MarketError, Model, ModelKind, Purchase, Relayed},
    openai::{self, Answering, Ask, AskKind, EmbeddingAsk, Events, Settled},
    server::{Gateway, Guard, json_response},
};
use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue},
    response::Response,
};
use fairweir_services::{
    Kind as _,
    inference::{
        chat::{Chat, ChatOutput, ChatSpec, Prompt},
        embedding::{Embedding, EmbeddingSpec},
    },
};
use fairweir_types::{Amount, Digest, order::Demand};
use futures::{
    StreamExt as _,
    future::{join_all, try_join_all},
    stream::{self, BoxStream, SelectAll},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

/// How long an answer's headers wait for its first part, so that a refusal still has its own status.
const FIRST_WITHIN: Duration = Duration::from_secs(15);
/// How often a stream without news says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The events of one answer.
struct Answer {
    purchase: Purchase,
    events: BoxStream<'static, ChatEvent>,
}

/// Reserves money for an order, and corrects it to what the order costs whenever that is known.
fn reserve(gateway: &Gateway, key: &str, demand: &Demand) -> Result<Bill, ApiError> {
    let reserved = gateway.market.price_max(demand)?;
    if !gateway.keys.reserve(key, reserved) {
        return Err(ApiError::quota(format!(
            "You exceeded what this API key may spend: the request may cost up to {reserved} coins. Please check the key's spending limit."
        )));
    }
    let (teller, cost) = oneshot::channel();
    let bill = Bill {
        key: key.to_owned(),
        cost: teller,
    };
    let (keys, key) = (gateway.keys.clone(), key.to_owned());
    gateway.tasks.spawn(async move {
        let cost = cost.await.unwrap_or(Amount::ZERO);
        keys.correct(&key, reserved, cost);
    });
    Ok(bill)
}

/// Tokens of each prompt, as far as they can be known here.
async fn count(gateway: &Gateway, model: &Model, ask: &Ask) -> Result<Vec<Option<u32>>, ApiError> {
    let Some(counter) = gateway.options.counter.clone() else {
        return Ok(vec![None; ask.prompts.len()]);
    };
    let (prompts, id) = (ask.prompts.clone(), model.id);
    let counted = tokio::task::spawn_blocking(move || {
        let counts = prompts.iter().map(|prompt| counter.count(id, prompt));
        counts.map(Option::transpose).collect::<Result<Vec<_>, _>>()
    });
    counted
        .await
        .map_err(|error| ApiError::internal(error.to_string()))?
        .map_err(|reason| {
            let message = format!("Invalid '{}': {reason}", ask.prompt_param());
            ApiError::invalid(ask.prompt_param(), Some("invalid_value"), message)
        })
}

fn specs(ask: &Ask, model: &Model, counts: &[Option<u32>]) -> Result<Vec<ChatSpec>, ApiError> {
    let mut specs = Vec::new();
    for (prompt, counted) in ask.prompts.iter().zip(counts) {
        let tokens_max = ask.tokens_for(model, prompt, *counted)?;
        for _ in 0..ask.choices {
            let index = specs.len();
            specs.push(ask.spec(model, prompt.clone(), *counted, (index, tokens_max))?);
        }
    }
    Ok(specs)
}

fn check_kind(model: &Model, kind: ModelKind, path: &str) -> Result<(), ApiError> {
    if model.kind == kind {
        return Ok(());
    }
    let message = format!("The model `{}` cannot be used with {path}.", model.name);
    Err(ApiError::invalid(
        "model",
        Some("model_not_supported"),
        message,
    ))
}

/// Buys the answers to a request.
pub(crate) async fn answer(
    gateway: &Arc<Gateway>,
    guard: Guard,
    ask: Ask,
) -> Result<Response, ApiError> {
    let deadline = Instant::now() + gateway.options.request_within;
    let model = gateway.model(&ask.model).await?;
    let path = match ask.kind {
        AskKind::Chat => "/v1/chat/completions",
        AskKind::Completion => "/v1/completions",
    };
    check_kind(&model, ModelKind::Chat, path)?;
    let counts = count(gateway, &model, &ask).await?;
    let specs = specs(&ask, &model, &counts)?;
    let key = &guard.admission.id;
    let mut orders = Vec::new();
    for spec in specs {
        let demand = Chat::demand(&spec).map_err(|error| MarketError::Spec(error.to_string()))?;
        let bill = reserve(gateway, key, &demand)?;
        orders.push(gateway.market.chat(spec, bill));
    }
    let runs = try_join_all(orders)
        .await
        .map_err(|error| of_ask(&ask, error))?;
    let mut purchases: Vec<Purchase> = runs.iter().map(|run| run.purchase).collect();
    let answering = Answering::new(ask.kind, &ask.model)?;
    let mut response = if ask.is_stream {
        let first_by = deadline.min(Instant::now() + FIRST_WITHIN);
        let answers = join_all(runs.into_iter().map(|run| begun(run, first_by))).await;
        let answers = answers
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| of_ask(&ask, error))?;
        streamed((gateway, guard), answering, ask, answers, deadline)
    } else {
        let wholes = runs.into_iter().map(|run| whole(gateway, &ask, run));
        let answers = try_join_all(wholes)
            .await
            .map_err(|error| of_ask(&ask, error))?;
        purchases = answers
            .iter()
            .map(|(_, settled)| settled.purchase)
            .collect();
        let body = match ask.kind {
            AskKind::Chat => openai::chat_body(&answering, &ask, &answers),
            AskKind::Completion => openai::completion_body(&answering, &ask, &answers),
        };
        json_response(body.to_string())
    };
    tell_purchases(response.headers_mut(), &purchases);
    Ok(response)
}

/// A market's error in the words of the request.
fn of_ask(ask: &Ask, error: MarketError) -> ApiError {
    let mut error = ApiError::from(error);
    if error.param.as_deref() == Some("messages") {
        error.param = Some(ask.prompt_param().to_owned());
    }
    error
}

fn tell_purchases(headers: &mut HeaderMap, purchases: &[Purchase]) {
    let ids: Vec<String> = purchases
        .iter()
        .map(|purchase| openai::receipt_id(&purchase.slot_id))
        .collect();
    let price_max = Amount::sum(purchases.iter().map(|purchase| purchase.price_max));
    let mut set = |name, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("x-fairweir-receipt", ids.join(","));
    set(
        "x-fairweir-price-max",
        price_max.unwrap_or(Amount::MAX).to_string(),
    );
}

fn events(mut run: ChatRun) -> BoxStream<'static, ChatEvent> {
    stream::poll_fn(move |context| run.events.poll_recv(context)).boxed()
}

/// An answer whose first part is there, or that takes its time; an error if it failed before its first part.
async fn begun(run: ChatRun, first_by: Instant) -> Result<Answer, MarketError> {
    let purchase = run.purchase;
    let mut events = events(run);
    let first = match timeout_at(first_by, events.next()).await {
        Err(_) => return Ok(Answer { purchase, events }),
        Ok(None) => return Err(MarketError::Closed),
        Ok(Some(ChatEvent::Failed(error))) => return Err(error),
        Ok(Some(first)) => first,
    };
    let events = stream::iter([first]).chain(events).boxed();
    Ok(Answer { purchase, events })
}

/// The whole of an answer.
async fn whole(
    gateway: &Gateway,
    ask: &Ask,
    mut run: ChatRun,
) -> Result<(ChatOutput, Settled), MarketError> {
    let purchase = run.purchase;
    loop {
        match run.events.recv().await {
            Some(ChatEvent::Chunk(_) | ChatEvent::Revoked) => {}
            Some(ChatEvent::Done(done)) => {
                let answer = relayed_text(ask, &done.output);
                let settled = settled(gateway, purchase, &done, (ask.request, answer));
                return Ok((done.output, settled));
            }
            Some(ChatEvent::Failed(error)) => return Err(error),
            None => return Err(MarketError::Closed),
        }
    }
}

/// The digest of an answer's text, as far as it is relayed.
fn relayed_text(ask: &Ask, output: &ChatOutput) -> Digest {
    let text = if ask.is_echo_alone() {
        ""
    } else {
        output.text.as_str()
    };
    Digest::of_blob(text.as_bytes())
}

fn settled<O>(
    gateway: &Gateway,
    purchase: Purchase,
    done: &Done<O>,
    (request, answer): (Digest, Digest),
) -> Settled {
    Settled {
        relay: gateway.market.relay(&Relayed {
            slot_id: done.slot_id,
            receipt: done.receipt,
            request,
            answer,
        }),
        purchase: Purchase {
            slot_id: done.slot_id,
            ..purchase
        },
        worker: done.worker,
        cost: done.cost,
        parts: done.parts.clone(),
    }
}

/// A response on its way: what comes next, and what is held until it ends.
struct Streaming {
    events: SelectAll<BoxStream<'static, (usize, ChatEvent)>>,
    writer: Events,
    purchases: Vec<Purchase>,
    /// Answers that did not end yet.
    open: usize,
    deadline: Instant,
    is_ended: bool,
    gateway: Arc<Gateway>,
    /// Its places, until the response ends.
    _guard: Guard,
}

fn streamed(
    (gateway, guard): (&Arc<Gateway>, Guard),
    answering: Answering,
    ask: Ask,
    answers: Vec<Answer>,
    deadline: Instant,
) -> Response {
    let purchases: Vec<Purchase> = answers.iter().map(|answer| answer.purchase).collect();
    let open = answers.len();
    let mut writer = Events::new(answering, ask, open);
    let begin: Vec<u8> = (0..open)
        .filter_map(|index| writer.begin(index))
        .flatten()
        .collect();
    let tagged = answers
        .into_iter()
        .enumerate()
        .map(|(index, answer)| answer.events.map(move |event| (index, event)).boxed());
    let streaming = Streaming {
        events: stream::select_all(tagged),
        writer,
        purchases,
        open,
        deadline,
        is_ended: false,
        gateway: Arc::clone(gateway),
        _guard: guard,
    };
    let rest = stream::unfold(streaming, |mut streaming| async move {
        let frame = streaming.next().await?;
        Some((frame, streaming))
    });
    let frames = stream::iter([Bytes::from(begin)])
        .chain(rest)
        .map(Ok::<_, std::convert::Infallible>);
    let mut response = Response::new(Body::from_stream(frames));
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("cache-control", "no-cache"),
        ("x-accel-buffering", "no"),
    ] {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    response
}

impl Streaming {
    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        while !self.is_ended {
            let wait = self.deadline.min(Instant::now() + KEEP_ALIVE);
            let event = match timeout_at(wait, self.events.next()).await {
                Ok(event) => event,
                Err(_) if Instant::now() >= self.deadline => {
                    return Some(self.fail(&ApiError::unavailable(
                        "timeout",
                        "The answer took too long.",
                    )));
                }
                Err(_) => return Some(Bytes::from_static(b": keep-alive\n\n")),
            };
            match event {
                Some((index, event)) => {
                    if let Some(frame) = self.frame(index, event) {
                        return Some(frame);
                    }
                }
                None => return Some(self.fail(&MarketError::Closed.into())),
            }
        }
        None
    }

    fn frame(&mut self, index: usize, event: ChatEvent) -> Option<Bytes> {
        match event {
            ChatEvent::Chunk(chunk) => self.writer.chunk(index, &chunk),
            // What a client has cannot be taken back.
            ChatEvent::Revoked => self
                .writer
                .has_told(index)
                .then(|| self.fail(&MarketError::Revoked.into())),
            ChatEvent::Failed(error) => Some(self.fail(&error.into())),
            ChatEvent::Done(done) => {
                let purchase = *self.purchases.get(index)?;
                let ask = self.writer.ask();
                let relayed = (ask.request, relayed_text(ask, &done.output));
                let settled = settled(&self.gateway, purchase, &done, relayed);
                match self.writer.end(index, &done.output, settled) {
                    Ok(end) => Some(self.close(end)),
                    Err(error) => Some(self.fail(&error)),
                }
            }
        }
    }

    /// One answer ended; with the last of them the response does.
    fn close(&mut self, end: Bytes) -> Bytes {
        self.open = self.open.saturating_sub(1);
        if self.open > 0 {
            return end;
        }
        self.is_ended = true;
        [end, self.writer.finish()].concat().into()
    }

    fn fail(&mut self, error: &ApiError) -> Bytes {
        self.is_ended = true;
        Events::error(error)
    }
}

/// Buys vectors.
pub(crate) async fn vectors(
    gateway: &Arc<Gateway>,
    guard: Guard,
    ask: EmbeddingAsk,
) -> Result<Response, ApiError> {
    let model = gateway.model(&ask.model).await?;
    check_kind(&model, ModelKind::Embedding, "/v1/embeddings")?;
    if let Some(counter) = gateway.options.counter.clone() {
        check_texts(counter, &model, &ask).await?;
    }
    let spec = EmbeddingSpec::new(model.id, ask.texts.clone())
        .map_err(|error| MarketError::Spec(error.to_string()))?;
    let demand = Embedding::demand(&spec).map_err(|error| MarketError::Spec(error.to_string()))?;
    let key = &guard.admission.id;
    let bill = reserve(gateway, key, &demand)?;
    let embedded = gateway.market.embed(spec, bill).await.map_err(|error| {
        let mut error = ApiError::from(error);
        error.param = error.param.map(|_| "input".to_owned());
        error
    })?;
    let width = embedded.done.output.numbers().next().map_or(0, |v| v.len());
    if let Some(asked) = ask.dimensions.filter(|asked| *asked != width) {
        let message = format!(
            "Invalid 'dimensions': this model's vectors have {width} numbers, {asked} were asked for."
        );
        return Err(ApiError::unsupported("dimensions", message));
    }
    let numbers = openai::number_bytes(&embedded.done.output);
    let relayed = (ask.request, Digest::of_blob(&numbers));
    let settled = settled(gateway, embedded.purchase, &embedded.done, relayed);
    let body = openai::embedding_body(&ask, &embedded.done.output, &settled)?;
    let mut response = json_response(body);
    tell_purchases(response.headers_mut(), &[settled.purchase]);
    Ok(response)
}

/// Refuses a text that the model would cut.
async fn check_texts(
    counter: Arc<dyn crate::TokenCounter>,
    model: &Model,
    ask: &EmbeddingAsk,
) -> Result<(), ApiError> {
    let (id, context, texts) = (model.id, model.context, ask.texts.clone());
    let longest = tokio::task::spawn_blocking(move || {
        texts
            .into_iter()
            .filter_map(|text| {
                let prompt = Prompt::Text(fairweir_services::Passage::new(text).ok()?);
                counter.count(id, &prompt)?.ok()
            })
            .max()
    });
    let longest = longest
        .await
        .map_err(|error| ApiError::internal(error.to_string()))?;
    match longest {
        Some(longest) if longest > context => Err(ApiError::context(
            "input",
            format!(
                "This model's maximum context length is {context} tokens, however you requested {longest} tokens. Please reduce your prompt."
            ),
        )),
        _ => Ok(()),
    }
}
