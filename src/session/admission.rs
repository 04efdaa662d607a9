//! Who may come in: token and origin of the request, identifier and address of the handshake.

use std::sync::Arc;

use buttplug_server_device_config::DeviceConfigurationManager;
use tokio_tungstenite::tungstenite::handshake::server::Request;
use tokio_tungstenite::tungstenite::http::{StatusCode, header};

use crate::config::{DeviceSettings, Secret};
use crate::device::handshake::{Handshake, Identifier};
use crate::device::refusal::Refusal;
use crate::net::accept::Rejection;

/// An identifier this unlike every known name is no typing error.
const NEAREST_MIN_SIMILARITY: f64 = 0.5;

/// The rules, from the configuration and the UDCF.
pub struct Admission {
    token: Option<Secret>,
    origins: Vec<String>,
    /// Every `websocket` name with its protocol.
    names: Vec<(String, String)>,
    dcm: Arc<DeviceConfigurationManager>,
    /// Any identifier is welcome: it is upstream's to know.
    any_name: bool,
}

impl Admission {
    /// The rules of this configuration; `names` are the UDCF's `websocket` names with their protocols.
    pub fn new(
        settings: &DeviceSettings,
        names: Vec<(String, String)>,
        dcm: Arc<DeviceConfigurationManager>,
    ) -> Self {
        Self {
            token: settings.token.clone(),
            origins: settings.origins.clone(),
            names,
            dcm,
            any_name: false,
        }
    }

    /// The same rules, but for identifiers, which are upstream's matter.
    #[must_use]
    pub fn any_name(mut self) -> Self {
        self.any_name = true;
        self
    }

    /// Looks at the HTTP request of a device: its token, and whether a web page sent it.
    ///
    /// Boards send no `Origin`, or one that is no web page's (`file://` in a well-known Arduino library); any web
    /// page that a user visits could open a websocket to this host, and a browser names the page.
    ///
    /// # Errors
    /// What to answer in HTTP.
    pub fn request(&self, request: &Request) -> Result<(), Rejection> {
        if let Some(origin) = request.headers().get(header::ORIGIN) {
            let origin = origin.as_bytes();
            let web = origin.starts_with(b"http://") || origin.starts_with(b"https://") || origin == b"null";
            if web && !self.origins.iter().any(|o| o.as_bytes() == origin) {
                return Err(Rejection {
                    status: StatusCode::FORBIDDEN,
                    reason: "a web page may only act as a device when [devices] origins lists it",
                });
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
                    reason: "the token is missing or wrong: connect to /?token=...",
                });
            }
        }
        Ok(())
    }

    /// Looks at a handshake: is there an entry for its identifier, and is its address welcome?
    ///
    /// # Errors
    /// Why not, with the nearest name known.
    pub fn handshake(&self, handshake: Handshake) -> Result<Handshake, Refusal> {
        if !self.any_name && self.protocol(&handshake.identifier).is_none() {
            return Err(self.unknown(handshake.identifier));
        }
        let address = handshake.address.as_str();
        if !self.dcm.address_allowed(address) {
            let denied = self
                .dcm
                .user_device_definitions()
                .iter()
                .any(|d| d.key().address() == address && d.value().deny());
            return Err(if denied {
                Refusal::Denied(handshake.address)
            } else {
                Refusal::NotAllowed(handshake.address)
            });
        }
        Ok(handshake)
    }

    /// The protocol that the UDCF gives an identifier.
    pub fn protocol(&self, identifier: &Identifier) -> Option<&str> {
        self.names
            .iter()
            .find(|(name, _)| name == identifier.as_str())
            .map(|(_, protocol)| protocol.as_str())
    }

    fn unknown(&self, identifier: Identifier) -> Refusal {
        let said = identifier.as_str();
        // The documentation says in one place that the identifier is the model letter, such as Z for a Hush.
        let model_letter = said.len() <= 2 && said.bytes().all(|b| b.is_ascii_uppercase());
        let nearest = if model_letter {
            self.names
                .iter()
                .find(|(_, protocol)| protocol == "lovense")
                .or(self.names.first())
        } else {
            let likeness = |name: &str| strsim::jaro_winkler(&name.to_lowercase(), &said.to_lowercase());
            self.names
                .iter()
                .max_by(|a, b| likeness(&a.0).total_cmp(&likeness(&b.0)))
                .filter(|(name, _)| likeness(name) >= NEAREST_MIN_SIMILARITY)
        };
        Refusal::UnknownIdentifier {
            nearest: nearest.map(|(name, _)| name.clone()),
            model_letter,
            identifier,
        }
    }
}

/// Compares without telling by its duration how much was right.
fn same_secret(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
}
