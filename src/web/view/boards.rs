//! The boards around a gateway, as the views show them: ports, peripherals, and the entries that bridge them.

use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::edit::Keys;
use crate::link::serial::Port;
use crate::web::api::Problem;

/// What is there to be bridged, and what is.
pub trait Boards: Send + Sync {
    /// The serial ports that exist now, and those that entries name.
    ///
    /// # Errors
    /// The system does not tell.
    fn ports(&self) -> BoxFuture<'static, Result<Vec<SerialPort>, Problem>>;

    /// Opens a port that no entry takes, to hear what its board says.
    ///
    /// # Errors
    /// There is no such port, an entry takes it, or it cannot be opened.
    fn open(&self, path: &str, baud_rate: u32) -> BoxFuture<'static, Result<Port, Problem>>;

    /// The peripherals that advertise within this time. One scan at a time.
    ///
    /// # Errors
    /// There is no Bluetooth.
    fn scan(&self, time: Duration) -> BoxFuture<'static, Result<Vec<Peripheral>, Problem>>;

    /// The entries of gateway.toml, and the boards that the UDCF describes.
    ///
    /// # Errors
    /// gateway.toml is no TOML, or cannot be read.
    fn entries(&self) -> BoxFuture<'static, Result<Entries, Problem>>;
}

/// A serial port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SerialPort {
    /// Its path.
    pub path: String,
    /// A name that stays the same wherever the board is plugged in.
    pub lasting: Option<String>,
    /// Its maker, as USB tells.
    pub manufacturer: Option<String>,
    /// Its name, as USB tells.
    pub product: Option<String>,
    /// Its serial number, as USB tells.
    pub serial_number: Option<String>,
    /// Its vendor and product numbers, such as `1a86:7523`.
    pub usb: Option<String>,
    /// Whether it can be opened.
    pub state: PortState,
    /// The programs that have it open.
    pub held_by: Vec<String>,
    /// What to do if it cannot be opened.
    pub hint: Option<String>,
    /// The entry that takes it, such as `serial.0`; `udcf` for one that the UDCF describes.
    pub entry: Option<String>,
}

/// Whether a serial port can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PortState {
    /// Nobody who can be seen has it open.
    Free,
    /// This gateway has it open.
    Open,
    /// Another program has it open.
    Held,
    /// This user may not open it.
    Forbidden,
    /// An entry names it, and it does not exist now.
    Gone,
}

/// A Bluetooth LE peripheral that advertises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Peripheral {
    /// Its address.
    pub address: String,
    /// Its name, if it sent one.
    pub name: Option<String>,
    /// Its signal strength in dBm.
    pub rssi: Option<i16>,
    /// This machine is connected to it.
    pub is_connected: bool,
    /// The services that it advertises: their names, or short UUIDs.
    pub services: Vec<String>,
    /// The profiles that fit it.
    pub profiles: Vec<String>,
    /// The entry that takes it, such as `ble.0`; `udcf` for one that the UDCF describes.
    pub entry: Option<String>,
}

/// The entries for boards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Entries {
    /// gateway.toml; `null` if the user has no home directory.
    pub file: Option<String>,
    /// Whether it exists. A change creates it.
    pub exists: bool,
    /// Its entries, by section.
    pub entries: Vec<BoardEntry>,
    /// The UDCF; `null` if none is configured.
    pub udcf: Option<String>,
    /// Whether the boards that the UDCF describes are bridged.
    pub bridges_udcf: bool,
    /// The boards on serial ports and on Bluetooth that the UDCF describes.
    pub offers: Vec<Offer>,
    /// Why the UDCF's boards are not known.
    pub problem: Option<Problem>,
}

/// An entry of gateway.toml.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BoardEntry {
    /// `serial`, `ble` or `dial`.
    pub section: String,
    /// Its number in its section, from 0.
    pub n: usize,
    /// A mark that changes with its text.
    pub tag: String,
    /// The line at which it begins, from 1.
    pub line: usize,
    /// Its text.
    pub toml: String,
    /// Its keys.
    #[schema(value_type = Object)]
    pub keys: Keys,
}

/// A board that the UDCF describes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Offer {
    /// `serial` or `ble`.
    pub section: String,
    /// Its port, or its name on Bluetooth.
    pub name: String,
    /// Its protocol.
    pub protocol: String,
    /// The identifier under which the gateway knows it.
    pub identifier: String,
    /// Whether it is bridged.
    pub state: OfferState,
    /// Why its entry does not work as it stands.
    pub problem: Option<String>,
    /// What its entry leaves out, or does differently.
    pub remarks: Vec<String>,
    /// Its entry for gateway.toml.
    pub toml: String,
    /// The keys of that entry.
    #[schema(value_type = Object)]
    pub keys: Keys,
}

/// Whether a board that the UDCF describes is bridged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OfferState {
    /// It is not.
    Offered,
    /// It is, as the UDCF describes it.
    Bridged,
    /// An entry of gateway.toml is for this board.
    Configured,
    /// It cannot be, as it stands.
    Unusable,
}
