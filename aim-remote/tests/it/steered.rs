//! A transport whose files a test holds back or lets fail.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aim_remote::file_io::Source;
use aim_remote::transport::{
    Entry, LocalTransport, Name, Progress, Put, Transport, TransportError,
};
use tokio::sync::watch;

/// What happens to files by name. Clones steer the same transport.
#[derive(Clone, Debug)]
pub(crate) struct Steering(Arc<State>);

#[derive(Debug)]
struct State {
    held: watch::Sender<BTreeSet<String>>,
    failing: Mutex<HashMap<String, Failure>>,
    begun: Mutex<Vec<String>>,
    looks: AtomicUsize,
}

/// How a file fails, after it was put or instead of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Failure {
    /// By itself.
    Refused,
    /// With the line that all files share.
    Line,
}

impl Steering {
    pub(crate) fn new() -> Self {
        Self(Arc::new(State {
            held: watch::Sender::new(BTreeSet::new()),
            failing: Mutex::default(),
            begun: Mutex::default(),
            looks: AtomicUsize::new(0),
        }))
    }

    /// The transport that is steered.
    pub(crate) fn over(&self, far: LocalTransport) -> Steered {
        let steering = self.clone();
        Steered { far, steering }
    }

    /// Lets a file wait when it is put.
    pub(crate) fn hold(&self, name: &str) {
        self.0.held.send_modify(|held| {
            held.insert(name.to_owned());
        });
    }

    pub(crate) fn release(&self, name: &str) {
        self.0.held.send_modify(|held| {
            held.remove(name);
        });
    }

    /// Releases all files in the same moment.
    pub(crate) fn release_all(&self) {
        self.0.held.send_modify(BTreeSet::clear);
    }

    /// Lets a file fail when it is put and not held.
    pub(crate) fn fail(&self, name: &str, failure: Option<Failure>) {
        let mut failing = self.0.failing.lock().unwrap();
        match failure {
            Some(failure) => failing.insert(name.to_owned(), failure),
            None => failing.remove(name),
        };
    }

    /// How often the far side was looked at.
    pub(crate) fn looks(&self) -> usize {
        self.0.looks.load(Ordering::SeqCst)
    }

    /// The files that were put so far, in the order in which that began.
    pub(crate) fn begun(&self) -> Vec<String> {
        self.0.begun.lock().unwrap().clone()
    }
}

#[derive(Debug)]
pub(crate) struct Steered {
    far: LocalTransport,
    steering: Steering,
}

impl Transport for Steered {
    fn place(&self) -> String {
        self.far.place()
    }

    async fn list(&self, folder: &str) -> Result<Vec<Entry>, TransportError> {
        self.steering.0.looks.fetch_add(1, Ordering::SeqCst);
        self.far.list(folder).await
    }

    async fn put(
        &self,
        name: &Name,
        source: &Source,
        progress: &Progress,
    ) -> Result<Put, TransportError> {
        let state = &self.steering.0;
        let file = name.file().to_owned();
        state.begun.lock().unwrap().push(file.clone());
        let mut held = state.held.subscribe();
        held.wait_for(|held| !held.contains(&file)).await.unwrap();
        let failure = state.failing.lock().unwrap().get(&file).copied();
        match failure {
            None => self.far.put(name, source, progress).await,
            Some(Failure::Refused) => Err(TransportError::Refused {
                place: file,
                reason: "steered".to_owned(),
            }),
            Some(Failure::Line) => Err(TransportError::ConnectionLost {
                host: "mirror".to_owned(),
                reason: "steered".to_owned(),
            }),
        }
    }

    async fn get(&self, name: &Name, limit: usize) -> Result<Vec<u8>, TransportError> {
        self.far.get(name, limit).await
    }

    async fn remove(&self, name: &Name) -> Result<(), TransportError> {
        self.far.remove(name).await
    }
}
