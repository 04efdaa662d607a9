//! Updates over the network: another image into the slot that does not run, and on trial until the gateway is reached.
//!
//! ```text
//!   stream ─> wire: who may ─> quiet: outputs off ─> image: is it one? ─> slots: written, read back, selected ─> restart
//!   start  ─> slots: on trial, kept, or back to the one before
//! ```
//!
//! What chooses a slot is the table that ESP-IDF's boot loader reads (`otadata`). That boot loader checks an image's own
//! hash, but does not know of trials: those are noted in a field of the table that it leaves alone, and looked at when an
//! image starts. Flash that loses its power at any time starts with one image or with the other.

mod entry;
mod image;
mod server;
mod slots;
mod trial;
mod wire;

pub use image::{IMAGE_ID_BYTES, ImageId};
pub use server::{Served, Server};
pub use slots::{Layout, Slot, Slots, SlotsError, Start};
pub use trial::Trial;
pub use wire::{
    Answer, GREETING, Greeting, LINE_MAX_BYTES, NONCE_BYTES, Nonce, PORT, Reason, Refusal, Request, State,
    Unknown, VERSION, WORDS_MAX_BYTES,
};
