//! What `--identify` shows of a board.

use std::fmt;

use serde_json::{Value, json};

use crate::device::hello::HelloFault;
use crate::ingress::hello::HelloError;
use crate::ingress::recognise::{Identity, Introduction};

/// The result of asking a board what it is.
pub(super) enum Identified {
    /// The board identified itself.
    Known(Introduction),
    /// The board was asked, but did not identify itself.
    Unknown(HelloError),
    /// The board was not asked, with the reason.
    NotAsked(String),
}

impl Identified {
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Known(Introduction { identity, fault }) => {
                let mut json = match identity {
                    Identity::Hello(hello) => json!({
                        "state": "hello",
                        "identifier": hello.handshake.identifier,
                        "address": hello.names_its_address.then_some(&hello.handshake.address),
                        "keepalive_ms": hello.keepalive.map(|time| time.as_millis() as u64),
                    }),
                    Identity::Recognised(board) => {
                        let axes = board.axes.iter().map(|axis| {
                            json!({
                                "channel": axis.channel,
                                "name": axis.name,
                                "min": axis.range.start(),
                                "max": axis.range.end(),
                            })
                        });
                        json!({
                            "state": "recognised",
                            "protocol": board.protocol,
                            "identifier": board.identifier().ok(),
                            "name": board.name,
                            "version": board.version,
                            "axes": axes.collect::<Vec<_>>(),
                        })
                    }
                };
                json["fault"] = json!(fault_of(identity, fault.as_ref()));
                json
            }
            Self::Unknown(error) => json!({ "state": "unknown", "problem": error.to_string() }),
            Self::NotAsked(why) => json!({ "state": "not_asked", "problem": why }),
        }
    }
}

/// What is wrong with the hello line of a board that is known: with the line itself, or else with its keepalive.
fn fault_of(identity: &Identity, fault: Option<&HelloFault>) -> Option<String> {
    let of_keepalive = match identity {
        Identity::Hello(hello) => hello.keepalive_fault.as_ref().map(ToString::to_string),
        Identity::Recognised(_) => None,
    };
    fault.map(ToString::to_string).or(of_keepalive)
}

impl fmt::Display for Identified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(Introduction { identity, fault }) => {
                match identity {
                    Identity::Hello(hello) => {
                        write!(f, "hello line: {}", hello.handshake.identifier)?;
                        if hello.names_its_address {
                            write!(f, ", address {}", hello.handshake.address)?;
                        }
                        if let Some(keepalive) = hello.keepalive {
                            write!(f, ", keepalive_ms {}", keepalive.as_millis())?;
                        }
                    }
                    Identity::Recognised(board) => write!(f, "recognised: {board}")?,
                }
                match fault_of(identity, fault.as_ref()) {
                    Some(fault) => write!(f, "; its hello line has a fault: {fault}"),
                    None => Ok(()),
                }
            }
            Self::Unknown(error) => write!(f, "unknown: {error}"),
            Self::NotAsked(why) => write!(f, "not asked: {why}"),
        }
    }
}
