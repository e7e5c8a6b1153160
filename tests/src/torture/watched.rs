//! A connection that writes down what a session keeps to itself: that it was refused for lack of room.

use std::sync::Arc;

use async_trait::async_trait;
use leveret_client::message::{Command, Reply, Request};
use leveret_client::transport::{
    AckToken, Arrived, ClientTransport, ConnectError, Connector, TransportError,
};

use super::record::{Diary, Record};

/// Makes connections that are watched.
#[derive(Debug)]
pub(super) struct Watched {
    connector: Box<dyn Connector>,
    diary: Arc<Diary>,
}

impl Watched {
    /// Those that this one makes, written down here.
    pub(super) fn new(connector: Box<dyn Connector>, diary: Arc<Diary>) -> Self {
        Self { connector, diary }
    }
}

#[async_trait]
impl Connector for Watched {
    async fn connect(&self) -> Result<Box<dyn ClientTransport>, ConnectError> {
        let transport = self.connector.connect().await?;
        let diary = self.diary.clone();
        Ok(Box::new(WatchedTransport { transport, diary }))
    }

    fn peer(&self) -> String {
        self.connector.peer()
    }
}

#[derive(Debug)]
struct WatchedTransport {
    transport: Box<dyn ClientTransport>,
    diary: Arc<Diary>,
}

#[async_trait]
impl ClientTransport for WatchedTransport {
    async fn hand_over(&self, command: &Command) -> Result<(), TransportError> {
        let handed_over = self.transport.hand_over(command).await;
        if let (Err(TransportError::Busy), Command::Send(post)) = (&handed_over, command) {
            let written = self.diary.put(Record::Busy { id: post.id });
            written.map_err(|error| TransportError::Closed(error.to_string()))?;
        }
        handed_over
    }

    async fn ask(&self, request: &Request) -> Result<Reply, TransportError> {
        self.transport.ask(request).await
    }

    async fn next(&self) -> Result<Arrived, TransportError> {
        self.transport.next().await
    }

    fn keeps_events(&self) -> bool {
        self.transport.keeps_events()
    }

    async fn acknowledge(&self, token: AckToken) -> Result<(), TransportError> {
        self.transport.acknowledge(token).await
    }

    async fn close(&self) {
        self.transport.close().await;
    }
}
