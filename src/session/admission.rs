//! Who may come in: token and origin of the request, identifier and address of the handshake.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::handshake::server::Request;
use tokio_tungstenite::tungstenite::http::{StatusCode, header};

use crate::config::{DeviceSettings, Secret};
use crate::device::handshake::{Handshake, Identifier};
use crate::device::refusal::Refusal;
use crate::net::foreign::not_listed;
use crate::net::upgrade::Rejection;
use crate::udcf::directory::{Directory, Standing};
use crate::udcf::protocols;

/// The rules, from the configuration and the UDCF. Clones change together.
#[derive(Clone)]
pub struct Admission {
    token: Option<Secret>,
    origins: Vec<String>,
    directory: Arc<RwLock<Arc<Directory>>>,
    /// Whether any identifier is welcome, since only upstream knows which ones it serves.
    any_name: bool,
    changed: Arc<Notify>,
}

impl Admission {
    /// The rules of this configuration and of the UDCF with this directory.
    pub fn new(settings: &DeviceSettings, directory: Directory) -> Self {
        Self {
            token: settings.token.clone(),
            origins: settings.origins.clone(),
            directory: Arc::new(RwLock::new(Arc::new(directory))),
            any_name: false,
            changed: Arc::default(),
        }
    }

    /// The same rules, except that any identifier is welcome: only upstream knows which ones it serves. They change
    /// together.
    #[must_use]
    pub fn any_name(mut self) -> Self {
        self.any_name = true;
        self
    }

    /// Replaces what the UDCF says. Devices that are connected stay so.
    pub fn set_directory(&self, directory: Directory) {
        *self.directory.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(directory);
        self.changed.notify_waiters();
    }

    /// Waits until what the UDCF says is replaced. Cancel safe.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What the UDCF says.
    pub fn directory(&self) -> Arc<Directory> {
        self.directory
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Checks the HTTP request of a device: its token, and whether a web page sent it.
    ///
    /// Boards send no `Origin`, or one that is no web page's (`file://` in a well-known Arduino library); any web
    /// page that a user visits could open a websocket to this host, and a browser names the page.
    ///
    /// # Errors
    /// The HTTP response.
    pub fn request(&self, request: &Request) -> Result<(), Rejection> {
        if let Some(origin) = request.headers().get(header::ORIGIN) {
            let origin = origin.as_bytes();
            let web = origin.starts_with(b"http://") || origin.starts_with(b"https://") || origin == b"null";
            if web && !self.origins.iter().any(|o| o.as_bytes() == origin) {
                let origin = String::from_utf8_lossy(origin);
                return Err(not_listed("devices", "act as devices", &self.origins, &origin));
            }
        }
        if let Some(token) = &self.token {
            let given = request
                .uri()
                .query()
                .unwrap_or_default()
                .split('&')
                .find_map(|pair| pair.strip_prefix("token="))
                .unwrap_or_default();
            if !same_secret(given, &token.0) {
                return Err(Rejection {
                    status: StatusCode::UNAUTHORIZED,
                    reason: "the token is missing or wrong: connect to /?token=...".into(),
                    hint: Some(
                        "the token is that of [devices] in gateway.toml, or of --device-token".to_owned(),
                    ),
                });
            }
        }
        Ok(())
    }

    /// Checks a handshake: is there an entry for its identifier, and is its address welcome?
    ///
    /// # Errors
    /// Why it is refused, with the most similar known name.
    pub fn handshake(&self, handshake: Handshake) -> Result<Handshake, Refusal> {
        self.identifier(&handshake.identifier)?;
        self.recognised(handshake)
    }

    /// Checks the handshake of a board that was recognised by its answers: is its address welcome? Its identifier is the
    /// gateway's own.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn recognised(&self, handshake: Handshake) -> Result<Handshake, Refusal> {
        match self.directory().standing(handshake.address.as_str()) {
            Standing::Welcome => Ok(handshake),
            Standing::Denied => Err(Refusal::Denied(handshake.address)),
            Standing::NotAllowed => Err(Refusal::NotAllowed(handshake.address)),
        }
    }

    /// Whether any identifier is welcome.
    pub fn accepts_any_name(&self) -> bool {
        self.any_name
    }

    /// Checks an identifier: is there an entry for it, of a protocol that the server implements?
    ///
    /// # Errors
    /// Why it is refused, with the most similar known name.
    pub fn identifier(&self, identifier: &Identifier) -> Result<(), Refusal> {
        if self.any_name {
            return Ok(());
        }
        let directory = self.directory();
        let Some(protocol) = directory.protocol(identifier.as_str()) else {
            return Err(unknown(&directory, identifier.clone()));
        };
        if directory.is_unserved(identifier.as_str()) {
            return Err(Refusal::NoSuchProtocol {
                nearest: protocols::nearest(protocol),
                protocol: protocol.to_owned(),
                identifier: identifier.clone(),
            });
        }
        Ok(())
    }

    /// The protocol that the UDCF gives an identifier.
    pub fn protocol(&self, identifier: &Identifier) -> Option<String> {
        self.directory().protocol(identifier.as_str()).map(str::to_owned)
    }
}

fn unknown(directory: &Directory, identifier: Identifier) -> Refusal {
    let name = identifier.as_str();
    // The documentation says in one place that the identifier is the model letter, such as Z for a Hush.
    let model_letter = name.len() <= 2 && name.bytes().all(|b| b.is_ascii_uppercase());
    let nearest = if model_letter {
        directory.name_of("lovense")
    } else {
        directory.nearest(name)
    };
    Refusal::UnknownIdentifier {
        nearest: nearest.map(str::to_owned),
        model_letter,
        protocol: Some(name.to_lowercase()).filter(|name| protocols::is_known(name)),
        identifier,
    }
}

/// Compares in a time that does not reveal how much of `a` is right.
fn same_secret(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
}
