//! Connections: how many there may be, and how long they may take to say what they want.
//!
//! Whoever can reach the server can open connections. Those that do not say in time what they want are closed, and where
//! there are too many, the oldest that has never shown the token makes room: strangers do not lock out the owner.

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};

/// Connections at once.
const CONNECTIONS: usize = 256;
/// How long a request's head may take, and a connection may wait for the next one.
const HEAD: Duration = Duration::from_secs(10);
/// Pause after a connection could not be accepted, for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether a request with the token has come over a connection.
#[derive(Clone, Default)]
pub struct Known(Arc<AtomicBool>);

impl Known {
    /// Says that one has.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Connections that are open, oldest first.
#[derive(Clone, Default)]
struct Open(Arc<Mutex<VecDeque<(Known, AbortHandle)>>>);

impl Open {
    fn lock(&self) -> MutexGuard<'_, VecDeque<(Known, AbortHandle)>> {
        // Whatever panicked held plain data.
        let mut all = self.0.lock().unwrap_or_else(|e| e.into_inner());
        all.retain(|(_, task)| !task.is_finished());
        all
    }

    /// Closes the oldest stranger's connection, if there is one.
    fn close_a_stranger(&self) -> bool {
        let mut all = self.lock();
        let Some(at) = all.iter().position(|(known, _)| !known.get()) else { return false };
        if let Some((_, task)) = all.remove(at) {
            task.abort();
        }
        true
    }
}

/// Serves until `closing` becomes true and the connections have ended.
pub async fn serve(listener: TcpListener, router: Router, mut closing: watch::Receiver<bool>) {
    let (open, ended) = (Open::default(), Arc::new(Notify::new()));
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        if open.lock().len() >= CONNECTIONS && !open.close_a_stranger() {
            // All are the owner's: the next one waits for the end of one.
            tokio::select! {
                () = ended.notified() => continue,
                _ = closing.wait_for(|&c| c) => break,
            }
        }
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    open.close_a_stranger();
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
            _ = closing.wait_for(|&c| c) => break,
        };
        let known = Known::default();
        let (router, ended, closing, own) = (router.clone(), ended.clone(), closing.clone(), known.clone());
        let task = tasks.spawn(async move {
            connection(stream, router, own, closing).await;
            ended.notify_one();
        });
        open.lock().push_back((known, task));
    }
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

/// Answers one connection's requests. That it breaks off is its client's business.
async fn connection(stream: TcpStream, router: Router, known: Known, mut closing: watch::Receiver<bool>) {
    // Events are small and shall not wait for each other.
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(known.clone());
        router.call(request)
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let serving = http.serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => return,
        _ = closing.wait_for(|&c| c) => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}
