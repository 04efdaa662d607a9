//! The rule for web pages that connect to a port of ours: a browser names the origin of the page, and programs name none.

use std::borrow::Cow;

use tokio_tungstenite::tungstenite::handshake::server::Request;
use tokio_tungstenite::tungstenite::http::{StatusCode, header};

use super::upgrade::Rejection;
use crate::text::printable;

/// The longest origin that is remembered or offered for pasting: a host name of 253 characters with scheme and port.
const ORIGIN_MAX_BYTES: usize = 300;

/// The origin that a request names, escaped; `None` for programs, which name none or an empty one.
pub fn origin(request: &Request) -> Option<String> {
    let named = request.headers().get(header::ORIGIN)?;
    Some(printable(named.as_bytes())).filter(|origin| !origin.is_empty())
}

/// Whether a browser could have sent this origin. No other is offered for pasting, or shown in a question.
pub fn is_origin(origin: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || ":/.-_[]".contains(c);
    origin.len() <= ORIGIN_MAX_BYTES && origin.chars().all(plain)
}

/// The answer to a web page that a section's `origins` does not list. `act` is what it may not do.
pub fn not_listed(section: &str, act: &str, listed: &[String], origin: &str) -> Rejection {
    let hint = is_origin(origin).then(|| {
        let listed = listed.iter().map(String::as_str).chain([origin]);
        let listed: Vec<String> = listed.map(|origin| format!("\"{origin}\"")).collect();
        format!(
            "to allow it, write in gateway.toml under [{section}]: origins = [{}]",
            listed.join(", ")
        )
    });
    Rejection {
        status: StatusCode::FORBIDDEN,
        reason: Cow::Owned(format!(
            "web pages of {origin:?} may not {act}: [{section}] origins does not list it"
        )),
        hint,
    }
}
