//! The threads of one run: started with their connections, joined with their results.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::{Result, bail};

use crate::load::shared::Shared;
use crate::wire::{ClientError, Connection, Uri};

/// Running threads that give a `T` each.
pub(crate) type Workers<T> = Vec<JoinHandle<Result<T, ClientError>>>;

/// Makes all threads give up when the coordinator leaves, whichever way it does.
#[derive(Debug)]
pub(crate) struct StopOnDrop(pub(crate) Arc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.fail();
    }
}

/// Opens `count` connections.
pub(crate) fn connect(uri: &Uri, count: usize) -> Result<Vec<Connection>, ClientError> {
    (0..count).map(|_| Connection::open(uri)).collect()
}

/// Starts a thread whose failure stops all others.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    shared: &Arc<Shared>,
    work: impl FnOnce() -> Result<T, ClientError> + Send + 'static,
) -> Result<JoinHandle<Result<T, ClientError>>> {
    let shared = Arc::clone(shared);
    let work = move || {
        let result = work();
        if result.is_err() {
            shared.fail();
        }
        result
    };
    Ok(thread::Builder::new().name(name.to_owned()).spawn(work)?)
}

/// The workers' results, or the first failure that was not the echo of another.
pub(crate) fn join<T>(workers: Workers<T>) -> Result<Vec<T>> {
    let mut results = Vec::new();
    let mut failure = None;
    for worker in workers {
        match worker.join() {
            Ok(Ok(result)) => results.push(result),
            Ok(Err(error)) => {
                if matches!(failure, None | Some(ClientError::Stopped)) {
                    failure = Some(error);
                }
            }
            Err(_) => bail!("a worker of the generator panicked"),
        }
    }
    failure.map_or(Ok(results), |error| Err(error.into()))
}

/// Both results, or the failure that says most.
pub(crate) fn both<A, B>(a: Result<A>, b: Result<B>) -> Result<(A, B)> {
    let echo = |error: &anyhow::Error| matches!(error.downcast_ref(), Some(ClientError::Stopped));
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(first), Err(second)) if echo(&first) => Err(second),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}
