//! Edges in this process, each with a board of its own that is connected by nothing but memory: hundreds of them cost no
//! sockets but those to the broker.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures::{Sink, Stream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wsdm_gateway::config::{EdgeSettings, Settings, UpstreamSettings};
use wsdm_gateway::device::fleet::names::Name;
use wsdm_gateway::device::frame::Frame;
use wsdm_gateway::device::handshake::{Address, Handshake, Identifier};
use wsdm_gateway::device::peer::Peer;
use wsdm_gateway::ingress::{Board, Intake};
use wsdm_gateway::link::{FrameIo, LinkError};
use wsdm_gateway::session::admission::Admission;
use wsdm_gateway::session::registry::Registry;
use wsdm_gateway::udcf::Udcf;
use wsdm_gateway::upstream::mqtt::Edge;

use super::broker::Broker;
use super::common::from_text;
use super::common::model_board::{Kind, ModelBoard};
use super::rig::{EDGE, edge_toml, levels};

/// A board at the other end of a link that takes no time.
struct InMemory {
    model: Arc<ModelBoard>,
    answers: VecDeque<Vec<u8>>,
    waker: Option<Waker>,
}

impl Stream for InMemory {
    type Item = Result<Frame, LinkError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.answers.pop_front() {
            Some(answer) => Poll::Ready(Some(Ok(Frame(answer.into())))),
            None => {
                self.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Sink<Frame> for InMemory {
    type Error = LinkError;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), LinkError> {
        let answers = self.model.receive(&frame.0);
        self.answers.extend(answers);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }
}

impl FrameIo for InMemory {}

/// An edge with one board, or more of which the first is known.
pub struct SmallEdge {
    pub name: String,
    pub model: Arc<ModelBoard>,
    pub registry: Arc<Registry>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for SmallEdge {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl SmallEdge {
    /// Edges of these names at this broker, each with a vibrator.
    pub fn start_all(broker: &Broker, names: impl IntoIterator<Item = String>) -> Vec<Self> {
        Self::start_with(broker, names, 1)
    }

    /// The same, each with so many vibrators.
    pub fn start_with(broker: &Broker, names: impl IntoIterator<Item = String>, boards: usize) -> Vec<Self> {
        let folder = tempfile::TempDir::new().expect("a folder to write in");
        let toml = format!(
            "[devices]\nlisten = \"127.0.0.1:0\"\n{}",
            edge_toml(&broker.url(), EDGE, "")
        );
        let settings = from_text(folder.path(), &toml);
        let directory = Udcf::builtin()
            .device_configuration()
            .map(|loaded| Udcf::builtin().directory(&loaded));
        let admission = Admission::new(&settings.devices, directory.expect("a UDCF"));
        let start = |name: String| Self::start(&name, &settings, &admission, boards);
        names.into_iter().map(start).collect()
    }

    /// Everything but its name is in these settings.
    fn start(name: &str, settings: &Settings, admission: &Admission, boards: usize) -> Self {
        let Some(UpstreamSettings::Mqtt(edge)) = &settings.upstream else {
            unreachable!("it is an edge")
        };
        let edge = Edge::new(EdgeSettings {
            edge: Name::new(name).expect("a name"),
            ..edge.clone()
        });
        let intake = Arc::new(Intake {
            admission: admission.clone().any_name(),
            registry: Arc::default(),
            upstream: edge.clone(),
        });
        let stop = CancellationToken::new();
        let models: Vec<_> = (0..boards)
            .map(|_| Arc::new(ModelBoard::new(Kind::Hush, true)))
            .collect();
        let mut tasks = vec![tokio::spawn(edge.serve(stop.clone()))];
        for (n, model) in models.iter().enumerate() {
            let link = Box::new(InMemory {
                model: model.clone(),
                answers: VecDeque::new(),
                waker: None,
            });
            let handshake = Handshake::new(
                Identifier::new(model.kind.identifier()).expect("an identifier"),
                Address::new(format!("{name}-{n}")).expect("an address"),
            );
            let board = Board::at(Peer::Websocket(([127, 0, 0, 1], 9).into()));
            let (intake, stop) = (intake.clone(), stop.clone());
            tasks.push(tokio::spawn(async move {
                let _ = intake.session(handshake, board, link, &stop).await;
            }));
        }
        Self {
            name: name.to_owned(),
            model: models[0].clone(),
            registry: intake.registry.clone(),
            tasks,
        }
    }

    /// How often its board was moved.
    pub fn moved(&self) -> usize {
        levels(&self.model).len()
    }
}
