//! What a board with settings, a console and a status LED needs beside the device core: all of it that needs no chip.
//!
//! ```text
//!   built-in settings ─┐
//!   flash ─> store ────┴─> Settings ─> pins, gateway, identity ─> the device core
//!   serial port ─> Editor ─> Console ──┘                               │
//!                                       LED <─ Status <─ reports <─────┘
//!   network ─> ota ─> the other image in flash
//! ```
//!
//! No standard library, no allocation, no `unsafe`: everything in here is tested on a computer.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod console;
mod discovery;
mod editor;
mod flash;
mod found;
mod identity;
pub mod improv;
mod inputs;
mod limits;
pub mod ota;
mod pins;
mod pwm;
mod record;
mod settings;
mod status;
mod store;
mod terminal;
mod trouble;

pub use console::{Action, Console};
pub use discovery::{ASK_AGAIN_MS, GROUP, PORT, QUERY, QUESTIONS, answer};
pub use editor::{Echo, Editor, LINE_MAX_BYTES};
pub use flash::{SECTOR_BYTES, SharedFlash};
pub use found::{Found, Origin};
pub use identity::{Address, BleName, address, ble_name};
pub use inputs::{Button, charge};
pub use limits::{IdleLimit, LimitError, Limited, Limits};
pub use pins::{Chip, ESP32C3, ESP32C6, Led, OUTPUTS_MAX, Output, Outputs, PinError};
pub use pwm::{MOTOR, SERVO, Timer, bridge, duty};
pub use record::{Broken, RECORD_MAX_BYTES};
pub use settings::{Gateway, Invalid, Key, Language, Settings};
pub use status::Status;
pub use store::{Loaded, Store, StoreError};
pub use terminal::{After, NETWORKS_MAX, Network, Networks, Port, Radio, Terminal};
pub use trouble::{Reported, Security, Trouble};
