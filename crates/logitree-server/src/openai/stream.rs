//! Gives a request to the generator and sends the answer to the client, whole or as server-sent events.

use super::error::Failure;
use super::reply::Reply;
use super::shapes::Answer;
use crate::api::App;
use crate::worker::Command;
use crate::worker::generate::{Event, Options, Refused, Step, Task};
use axum::Json;
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use logitree::Model;
use std::collections::VecDeque;
use std::convert::Infallible;
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;

/// A request that is ready for the generator.
pub struct Order {
    /// The model that the prompts' tokens are of.
    pub model: Model,
    pub options: Options,
    pub tasks: Vec<Task>,
    pub reply: Reply,
}

/// The steps of a request, as they come from the generator.
struct Incoming {
    events: Receiver<Event>,
    closing: watch::Receiver<bool>,
    /// Number of choices that have not ended.
    open: usize,
}

impl Incoming {
    /// The next step; `None` when all choices have ended.
    async fn next(&mut self) -> Result<Option<Step>, Failure> {
        if self.open == 0 {
            return Ok(None);
        }
        tokio::select! {
            event = self.events.recv() => match event {
                Some(Ok(step)) => {
                    self.open -= usize::from(step.finish.is_some());
                    Ok(Some(step))
                }
                Some(Err(why)) => Err(Failure::internal(why)),
                None => Err(Failure::down()),
            },
            _ = self.closing.wait_for(|&closing| closing) => Err(Failure::down()),
        }
    }
}

/// Generates and answers. If the client disconnects, this future is dropped, which cancels the generation.
pub async fn answer(app: App, order: Order) -> Result<Response, Failure> {
    let Order { model, options, tasks, reply } = order;
    let submitted = app.shared.current.during(&model, || app.desk.submit(options, tasks));
    let submitted = submitted.ok_or_else(|| Failure::busy("another model is being loaded: try again later"))?;
    let events = submitted.map_err(|refused| match refused {
        Refused::Full(n) => Failure::busy(format!("{n} texts are being generated or wait: try again later")),
        Refused::Closed => Failure::down(),
    })?;
    app.send(Command::Generate)?;
    let mut incoming = Incoming { events, closing: app.closing.clone(), open: reply.choices() };
    if reply.settings().stream {
        return Ok(stream(model, reply, incoming));
    }
    let mut steps = Vec::new();
    while let Some(step) = incoming.next().await? {
        steps.push(step);
    }
    let body = tokio::task::spawn_blocking(move || Json(reply.whole(&model, steps.into_iter())).into_response());
    body.await.map_err(Failure::internal)
}

/// The state of a stream of events.
struct Streaming {
    model: Model,
    reply: Reply,
    incoming: Incoming,
    /// Events that are ready to be sent, oldest first.
    ready: VecDeque<String>,
    ended: bool,
}

impl Streaming {
    fn push(&mut self, chunk: &Answer) {
        match serde_json::to_string(chunk) {
            Ok(json) => self.ready.push_back(json),
            Err(e) => self.fail(&Failure::internal(e)),
        }
    }

    fn fail(&mut self, failure: &Failure) {
        self.ready.push_back(failure.json());
        self.ended = true;
    }

    async fn next(mut self) -> Option<(Result<sse::Event, Infallible>, Self)> {
        loop {
            if let Some(json) = self.ready.pop_front() {
                return Some((Ok(sse::Event::default().data(json)), self));
            }
            if self.ended {
                return None;
            }
            match self.incoming.next().await {
                Ok(Some(step)) => {
                    if let Some(chunk) = self.reply.chunk(&self.model, step) {
                        self.push(&chunk);
                    }
                }
                Ok(None) => {
                    if let Some(chunk) = self.reply.last_chunk() {
                        self.push(&chunk);
                    }
                    self.ready.push_back("[DONE]".into());
                    self.ended = true;
                }
                Err(failure) => self.fail(&failure),
            }
        }
    }
}

fn stream(model: Model, reply: Reply, incoming: Incoming) -> Response {
    let first = reply.first_chunks();
    let mut streaming = Streaming { model, reply, incoming, ready: VecDeque::new(), ended: false };
    for chunk in &first {
        streaming.push(chunk);
    }
    let events = futures_util::stream::unfold(streaming, Streaming::next);
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}
