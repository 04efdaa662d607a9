//! A chip in software, on a pseudo-terminal: the boot loader in its ROM with the serial protocol that Espressif documents
//! for esptool, the loader that a flasher puts into its RAM, its flash, and the firmware once it is restarted.
//!
//! A pseudo-terminal has no reset lines: [`Scripted::press_reset`] is the button.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use flate2::write::ZlibDecoder;
use md5::{Digest, Md5};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::firmware::{Firmware, Network};
use super::memory::{Memory, SECTOR};
use crate::common::pty::Board;

const END: u8 = 0xc0;
const ESCAPE: u8 = 0xdb;
/// What the checksum of data begins with.
const CHECKSUM: u8 = 0xef;
/// The largest packet of data that a loader takes, and its head.
const PACKET_MAX: usize = 0x4000 + 64;
/// A register whose value tells the older chips apart.
const MAGIC: u32 = 0x4000_1000;

const INVALID_COMMAND: u8 = 5;
const BAD_CHECKSUM: u8 = 7;
const BAD_DATA: u8 = 0xc1;

/// Which chip it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Esp32c3,
    Esp32c6,
    Esp32,
    Esp32s3,
    Esp8266,
    /// None that anybody knows.
    Unknown,
}

impl Kind {
    /// The number that it reports with its security; the older ones have none.
    fn number(self) -> Option<u32> {
        match self {
            Self::Esp32c3 => Some(5),
            Self::Esp32c6 => Some(13),
            Self::Esp32s3 => Some(9),
            Self::Esp32 | Self::Esp8266 | Self::Unknown => None,
        }
    }

    fn magic(self) -> u32 {
        match self {
            Self::Esp32c3 => 0x1b31_506f,
            Self::Esp32c6 => 0x2ce0_806f,
            Self::Esp32 => 0x00f0_1d83,
            Self::Esp32s3 => 0x9,
            Self::Esp8266 => 0xfff0_c101,
            Self::Unknown => 0x1234_5678,
        }
    }

    /// Where its flash controller is.
    fn spi(self) -> u32 {
        match self {
            Self::Esp32c6 => 0x6000_3000,
            _ => 0x6000_2000,
        }
    }
}

/// What is wrong with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// It does not answer.
    Silent,
    /// Its plug is pulled after so many packets of data.
    Unplugged(usize),
    /// A bit of its flash does not change any more.
    StuckBit(usize),
    /// It claims to send more than it does.
    Nonsense,
    /// It starts signed images only.
    SecureBoot,
    /// Its flash has 2 MB.
    SmallFlash,
    /// The line to its console loses a character of a value, and one of a secret.
    LostCharacters,
    /// Its USB goes and comes back when it restarts.
    Reenumerates,
}

/// What it was asked, for a test to look at.
#[derive(Debug, Default)]
pub struct Asked {
    /// The commands, by their numbers.
    pub commands: Vec<u8>,
    /// The baud rate that was asked for.
    pub baud_rate: Option<u32>,
    /// Packets of data that were written to flash.
    pub packets: usize,
    /// All that came, in its firmware.
    pub typed: Vec<u8>,
}

/// A chip that runs.
pub struct Scripted {
    pub asked: Arc<Mutex<Asked>>,
    reset: mpsc::UnboundedSender<()>,
    task: AbortOnDropHandle<()>,
}

impl Scripted {
    /// Plugs it in, in its boot loader. The same memory again is the same board.
    pub fn plug(port: &Path, kind: Kind, memory: Memory, fault: Fault, network: Network) -> Self {
        let (reset, pressed) = mpsc::unbounded_channel();
        let asked = Arc::new(Mutex::new(Asked::default()));
        let board = Board::plug(port);
        let chip = Chip {
            port: port.to_owned(),
            board: Some(board),
            loader: Loader {
                kind,
                fault,
                memory: memory.clone(),
                asked: asked.clone(),
                is_stub: false,
                received: None,
                registers: HashMap::new(),
                write: None,
            },
            network,
            pressed,
        };
        if let Fault::StuckBit(at) = fault {
            memory.stick(at);
        }
        Self {
            asked,
            reset,
            task: AbortOnDropHandle::new(tokio::spawn(chip.run())),
        }
    }

    pub fn press_reset(&self) {
        self.reset.send(()).expect("a chip that runs");
    }

    /// Completes when its port is gone: another board may then be plugged in there.
    pub async fn unplug(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    pub fn packets(&self) -> usize {
        self.asked.lock().expect("whole").packets
    }
}

struct Chip {
    port: PathBuf,
    /// `None` while it is not plugged in.
    board: Option<Board>,
    loader: Loader,
    network: Network,
    pressed: mpsc::UnboundedReceiver<()>,
}

impl Chip {
    fn board(&mut self) -> &mut Board {
        self.board.as_mut().expect("plugged in")
    }

    fn restarted(&mut self) {
        if self.loader.fault == Fault::Reenumerates {
            // The old one takes its port with it.
            drop(self.board.take());
            self.board = Some(Board::plug(&self.port));
        }
    }

    async fn run(mut self) {
        loop {
            let board = self.board.as_mut().expect("plugged in");
            tokio::select! {
                bytes = board.read_patiently() => {
                    for packet in self.loader.packets(&bytes) {
                        for answer in self.loader.obey(&packet) {
                            board.say(framed(&answer)).await;
                        }
                        // Dropping the board pulls the plug.
                        if self.loader.is_unplugged() {
                            return;
                        }
                    }
                }
                pressed = self.pressed.recv() => {
                    if pressed.is_none() {
                        return;
                    }
                    break;
                }
            }
        }
        self.restarted();
        let chip = match self.loader.kind {
            Kind::Esp32c6 => &wsdm_device_board::ESP32C6,
            _ => &wsdm_device_board::ESP32C3,
        };
        let mut firmware = Firmware::start(chip, self.loader.memory.clone(), self.network.clone());
        let mut typed = Vec::new();
        let mut lost: Vec<&[u8]> = match self.loader.fault {
            Fault::LostCharacters => vec![b"set ssid My n", b"set password cor"],
            _ => Vec::new(),
        };
        loop {
            for text in firmware.printed() {
                self.board().say(text).await;
            }
            let bytes = self.board().read_patiently().await;
            self.loader.asked.lock().expect("whole").typed.extend(&bytes);
            for byte in bytes {
                typed.push(byte);
                let before = lost.len();
                lost.retain(|until| !typed.ends_with(until));
                if lost.len() == before && firmware.take(byte) {
                    self.restarted();
                }
            }
        }
    }
}

fn framed(packet: &[u8]) -> Vec<u8> {
    let mut bytes = vec![END];
    for byte in packet {
        match *byte {
            END => bytes.extend([ESCAPE, 0xdc]),
            ESCAPE => bytes.extend([ESCAPE, 0xdd]),
            byte => bytes.push(byte),
        }
    }
    bytes.push(END);
    bytes
}

/// What is being written to flash.
struct Writing {
    at: usize,
    end: usize,
    inflate: Option<ZlibDecoder<Vec<u8>>>,
}

struct Loader {
    kind: Kind,
    fault: Fault,
    memory: Memory,
    asked: Arc<Mutex<Asked>>,
    is_stub: bool,
    /// The packet that is being received; `None` between two of them.
    received: Option<(Vec<u8>, bool)>,
    registers: HashMap<u32, u32>,
    write: Option<Writing>,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..at + 4).expect("a whole command");
    u32::from_le_bytes(bytes.try_into().expect("four"))
}

impl Loader {
    fn is_unplugged(&self) -> bool {
        matches!(self.fault, Fault::Unplugged(after) if self.asked.lock().expect("whole").packets >= after)
    }

    /// The whole packets that these bytes complete.
    fn packets(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        for byte in bytes {
            self.received = match (self.received.take(), *byte) {
                (None, END) => Some((Vec::new(), false)),
                // What people type is no packet.
                (None, _) => None,
                (Some((packet, _)), END) if packet.is_empty() => Some((packet, false)),
                (Some((packet, _)), END) => {
                    packets.push(packet);
                    None
                }
                (Some((packet, false)), ESCAPE) => Some((packet, true)),
                (Some((mut packet, escaped)), byte) => {
                    packet.push(match (escaped, byte) {
                        (true, 0xdc) => END,
                        (true, 0xdd) => ESCAPE,
                        (true, other) => panic!("{other:#x} is escaped"),
                        (false, byte) => byte,
                    });
                    assert!(packet.len() <= PACKET_MAX, "a packet that no loader takes");
                    Some((packet, false))
                }
            };
        }
        packets
    }

    /// Carries out a command. The packets that it answers with.
    fn obey(&mut self, packet: &[u8]) -> Vec<Vec<u8>> {
        assert_eq!(packet[0], 0, "a request");
        let (command, data) = (packet[1], &packet[8..]);
        assert_eq!(
            usize::from(u16::from_le_bytes([packet[2], packet[3]])),
            data.len()
        );
        self.asked.lock().expect("whole").commands.push(command);
        if self.fault == Fault::Silent {
            return Vec::new();
        }
        let is_data = matches!(command, 0x03 | 0x07 | 0x11);
        if is_data && data[16..].iter().fold(CHECKSUM, |sum, byte| sum ^ byte) != packet[4] {
            return vec![self.answer(command, 0, &[], Err(BAD_CHECKSUM))];
        }
        let ok = |this: &Self| vec![this.answer(command, 0, &[], Ok(()))];
        match command {
            // It answers eight times.
            0x08 => vec![self.answer(command, 0, &[], Ok(())); 8],
            0x09 => {
                self.write_register(word(data, 0), word(data, 4));
                ok(self)
            }
            0x0a => {
                let value = self.read_register(word(data, 0));
                vec![self.answer(command, value, &[], Ok(()))]
            }
            0x14 => self.security(),
            0x0b | 0x0d | 0x05 | 0x07 => ok(self),
            0x06 => {
                let answer = self.answer(command, 0, &[], Ok(()));
                self.is_stub = true;
                vec![answer, b"OHAI".to_vec()]
            }
            0x0f => {
                self.asked.lock().expect("whole").baud_rate = Some(word(data, 0));
                ok(self)
            }
            0x02 | 0x10 => {
                let (bytes, at) = (word(data, 0) as usize, word(data, 12) as usize);
                self.memory.erase(at, bytes.next_multiple_of(SECTOR));
                self.write = Some(Writing {
                    at,
                    end: at + bytes,
                    inflate: (command == 0x10).then(|| ZlibDecoder::new(Vec::new())),
                });
                ok(self)
            }
            0x03 | 0x11 => {
                let done = self.data(&data[16..]);
                self.asked.lock().expect("whole").packets += 1;
                vec![self.answer(command, 0, &[], done)]
            }
            0x13 => {
                let (at, bytes) = (word(data, 0) as usize, word(data, 4) as usize);
                let hash = Md5::digest(self.memory.read(at, bytes));
                let hash = match self.is_stub {
                    true => hash.to_vec(),
                    false => hash
                        .iter()
                        .flat_map(|byte| format!("{byte:02x}").into_bytes())
                        .collect(),
                };
                vec![self.answer(command, 0, &hash, Ok(()))]
            }
            // Back to the ROM, which the button then leads out of.
            0x04 if word(data, 0) == 0 => {
                self.is_stub = false;
                Vec::new()
            }
            0x04 | 0x12 => {
                self.write = None;
                ok(self)
            }
            _ => vec![self.answer(command, 0, &[], Err(INVALID_COMMAND))],
        }
    }

    fn data(&mut self, data: &[u8]) -> Result<(), u8> {
        let write = self.write.as_mut().ok_or(INVALID_COMMAND)?;
        let plain = match &mut write.inflate {
            Some(inflate) => {
                inflate.write_all(data).map_err(|_| BAD_DATA)?;
                inflate.flush().map_err(|_| BAD_DATA)?;
                std::mem::take(inflate.get_mut())
            }
            None => data.to_vec(),
        };
        if write.at + plain.len() > write.end.next_multiple_of(SECTOR) {
            return Err(BAD_DATA);
        }
        self.memory.write(write.at, &plain);
        write.at += plain.len();
        Ok(())
    }

    fn security(&self) -> Vec<Vec<u8>> {
        let Some(number) = self.kind.number() else {
            return vec![self.answer(0x14, 0, &[], Err(INVALID_COMMAND))];
        };
        let mut data = vec![0; 12];
        data[0] = u8::from(self.fault == Fault::SecureBoot);
        data.extend(number.to_le_bytes());
        data.extend([0; 4]);
        let mut answer = self.answer(0x14, 0, &data, Ok(()));
        if self.fault == Fault::Nonsense {
            answer[2..4].copy_from_slice(&60_000_u16.to_le_bytes());
        }
        vec![answer]
    }

    /// The older loader, and the one in RAM, end an answer with two bytes instead of four.
    fn answer(&self, command: u8, value: u32, data: &[u8], done: Result<(), u8>) -> Vec<u8> {
        let status_bytes = if self.is_stub || self.kind == Kind::Esp8266 {
            2
        } else {
            4
        };
        let mut status = vec![0; status_bytes];
        if let Err(error) = done {
            status[..2].copy_from_slice(&[1, error]);
        }
        let bytes = u16::try_from(data.len() + status_bytes).expect("short");
        let mut answer = vec![1, command];
        answer.extend(bytes.to_le_bytes());
        answer.extend(value.to_le_bytes());
        answer.extend(data);
        answer.extend(status);
        answer
    }

    fn read_register(&self, at: u32) -> u32 {
        match at {
            MAGIC => self.kind.magic(),
            at => self.registers.get(&at).copied().unwrap_or(0),
        }
    }

    fn write_register(&mut self, at: u32, value: u32) {
        let spi = self.kind.spi();
        // "Go", with the command of the flash chip for "which are you?" in another register.
        if at == spi && value & 1 << 18 != 0 {
            let asked = self.read_register(spi + 0x20) & 0xff;
            let size = if self.fault == Fault::SmallFlash {
                0x15
            } else {
                0x16
            };
            let id = if asked == 0x9f { size << 16 | 0x40_20 } else { 0 };
            self.registers.insert(spi + 0x58, id);
        } else {
            self.registers.insert(at, value);
        }
    }
}
