//! What would let a refused device in, for a button.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::device::refusal::Refusal;

/// A change of the UDCF that would let a refused device in. It is offered to the owner, who knows the device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Mend {
    /// Give its identifier a protocol: `POST /api/udcf/names`.
    AddName {
        /// The identifier.
        name: String,
        /// The protocol that it probably speaks: the one that its identifier is the name of, or the one that its entry
        /// probably meant.
        protocol: Option<String>,
        /// A name in the UDCF that it may have meant to send instead.
        nearest: Option<String>,
        /// It sent the letter of a Lovense model, as some documentation has it.
        is_model_letter: bool,
        /// The protocol that the UDCF gives the name now, which the server does not have.
        instead_of: Option<String>,
    },
    /// Deny it no more: `PUT /api/udcf/devices/{address}` with `"deny": false`.
    Undeny,
    /// Allow it too, as others are: `PUT /api/udcf/devices/{address}` with `"allow": true`.
    Allow,
}

impl Mend {
    /// What mends a refusal; `None` if no change of the UDCF does.
    pub(super) fn of(refusal: &Refusal) -> Option<Self> {
        match refusal {
            Refusal::UnknownIdentifier {
                identifier,
                nearest,
                model_letter,
                protocol,
            } => Some(Self::AddName {
                name: identifier.as_str().to_owned(),
                protocol: protocol.clone(),
                nearest: nearest.clone(),
                is_model_letter: *model_letter,
                instead_of: None,
            }),
            Refusal::NoSuchProtocol {
                identifier,
                protocol,
                nearest,
            } => Some(Self::AddName {
                name: identifier.as_str().to_owned(),
                protocol: nearest.map(str::to_owned),
                nearest: None,
                is_model_letter: false,
                instead_of: Some(protocol.clone()),
            }),
            Refusal::Denied(_) => Some(Self::Undeny),
            Refusal::NotAllowed(_) => Some(Self::Allow),
            _ => None,
        }
    }
}
