//! Work that takes long, as a stream of server-sent events: what is found comes as soon as it is found, and the work ends
//! when the client hangs up.

use super::{Answer, App};
use crate::problem::Problem;
use crate::worker::guest::{Listener, Task};
use crate::worker::{Command, Tokens};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use logitree::Model;
use logitree_core::NodeId;
use serde::Serialize;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

/// Sends events to a client. Their data is JSON, so no character of a text can end an event.
#[derive(Clone)]
pub struct Teller(UnboundedSender<Event>);

impl Teller {
    pub fn tell(&self, kind: &str, data: &impl Serialize) {
        // Data that is not JSON would be a fault of this program; a client that is gone needs nothing.
        if let Ok(event) = Event::default().event(kind).json_data(data) {
            let _ = self.0.send(event);
        }
    }
}

impl Listener for Teller {
    fn progress(&self, words: String) {
        self.tell("progress", &words);
    }

    fn note(&self, text: &str) {
        self.tell("note", &text);
    }

    fn is_gone(&self) -> bool {
        self.0.is_closed()
    }
}

/// Begins a task about these nodes of runs. `work` gets the tokens that lead to them, in their order.
pub async fn stream(
    app: &App,
    what: &'static str,
    places: Vec<(String, NodeId)>,
    work: impl FnOnce(&Model, Vec<Tokens>, &Teller) -> logitree::Result<()> + Send + 'static,
) -> Answer<Response> {
    let permit = app.tasks.clone().try_acquire_owned();
    let permit = permit.map_err(|_| {
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "enough such work is going on already: wait until some of it has ended",
        )
    })?;
    let (sender, events) = unbounded_channel();
    let teller = Teller(sender);
    let (own, failing) = (teller.clone(), teller.clone());
    let task = Task {
        what,
        work: Box::new(move |model, tokens| {
            let _permit = permit;
            work(model, tokens, &own)
        }),
        failed: Box::new(move |e| failing.tell("failed", &Problem::from(e))),
        listener: Arc::new(teller),
    };
    let (reply, answer) = oneshot::channel();
    app.send(Command::Host(places, task, reply))?;
    answer.await.map_err(|_| Problem::internal("the engine has stopped"))??;
    let events = futures_util::stream::unfold(events, |mut events| async move {
        let event = events.recv().await?;
        Some((Ok::<_, Infallible>(event), events))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}
