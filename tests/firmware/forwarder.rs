//! An address that stays while gateways come and go behind it, and a network that fails without a word.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Passes bytes on to wherever it is told.
pub struct Forwarder {
    pub addr: SocketAddr,
    to: Arc<Mutex<SocketAddr>>,
    broken: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Forwarder {
    /// To the gateway at this URL.
    pub async fn to(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let to = Arc::new(Mutex::new(parse(url)));
        let broken = watch::Sender::new(false);
        let (target, breaks) = (to.clone(), broken.subscribe());
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let target = *target.lock().expect("not poisoned");
                connections.spawn(pass(near, target, breaks.clone()));
            }
        });
        Self {
            addr,
            to,
            broken,
            task,
        }
    }

    /// From now on to another gateway; connections that are there stay as they are.
    pub fn redirect(&self, url: &str) {
        *self.to.lock().expect("not poisoned") = parse(url);
    }

    /// Every connection that is there goes silent for good, and neither end is told.
    pub fn go_silent(&self) {
        self.broken.send_replace(true);
        // Those that come later are whole.
        self.broken.send_replace(false);
    }
}

async fn pass(mut near: TcpStream, to: SocketAddr, mut breaks: watch::Receiver<bool>) {
    let Ok(mut far) = TcpStream::connect(to).await else {
        return;
    };
    breaks.mark_unchanged();
    tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => {}
        _ = breaks.changed() => std::future::pending().await,
    }
}

fn parse(url: &str) -> SocketAddr {
    url.trim_start_matches("ws://").parse().expect("an address")
}
