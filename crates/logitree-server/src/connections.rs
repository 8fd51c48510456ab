//! Accepts connections, with limits on their number and on the time until a request arrives.
//!
//! Anyone who can reach the server can open connections, so strangers must not be able to lock out the owner. A
//! connection that sends no request in time is closed. When there are too many connections, the oldest one on which
//! the token was never shown is closed to make room.

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

/// Largest number of open connections.
const CONNECTIONS: usize = 256;
/// Longest time for the head of a request, which includes the wait for the next request on an idle connection.
const HEAD: Duration = Duration::from_secs(10);
/// How long to wait after a connection could not be accepted (for example because there were no file descriptors).
const PAUSE: Duration = Duration::from_millis(100);

/// Whether a request with the token has come over a connection. Clones share the value.
#[derive(Clone, Default)]
pub struct Known(Arc<AtomicBool>);

impl Known {
    /// Records that a request with the token has come.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The open connections, oldest first.
#[derive(Clone, Default)]
struct Open(Arc<Mutex<VecDeque<(Known, AbortHandle)>>>);

impl Open {
    fn lock(&self) -> MutexGuard<'_, VecDeque<(Known, AbortHandle)>> {
        // A poisoned lock is harmless: the data is a plain list.
        let mut all = self.0.lock().unwrap_or_else(|e| e.into_inner());
        all.retain(|(_, task)| !task.is_finished());
        all
    }

    /// Closes the oldest connection without the token; returns false if there is none.
    fn close_a_stranger(&self) -> bool {
        let mut all = self.lock();
        let Some(at) = all.iter().position(|(known, _)| !known.get()) else { return false };
        if let Some((_, task)) = all.remove(at) {
            task.abort();
        }
        true
    }
}

/// Serves until `closing` becomes true and all connections have ended.
pub async fn serve(listener: TcpListener, router: Router, mut closing: watch::Receiver<bool>) {
    let (open, ended) = (Open::default(), Arc::new(Notify::new()));
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        if open.lock().len() >= CONNECTIONS && !open.close_a_stranger() {
            // All connections have shown the token: wait until one ends.
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

/// Answers the requests of one connection. An error only means that the client broke it off, so it is ignored.
async fn connection(stream: TcpStream, router: Router, known: Known, mut closing: watch::Receiver<bool>) {
    // Events are small, and each should be sent at once.
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
