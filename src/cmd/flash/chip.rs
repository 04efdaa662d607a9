//! The chip in its boot loader: which it is, and the image onto its flash. The library blocks, so all of this does.

use std::borrow::Cow;
use std::time::Duration;

use espflash::connection::{Connection, ResetAfterOperation, ResetBeforeOperation};
use espflash::flasher::Flasher;
use espflash::image_format::Segment;
use espflash::target::{Chip as EspChip, ProgressCallbacks};
use indicatif::ProgressBar;
use tokio::sync::watch;
use tokio_serial::UsbPortInfo;
use wsdm_device_board::{Chip, ESP32C3, ESP32C6};

use super::error::{FlashError, OtherChip, Stage};
use super::port::BoardPort;
use super::settings::Given;
use crate::cmd::images::{Image, Images, Part};
use crate::cmd::progress;
use crate::defaults::BAUD_RATE;
use crate::text::printable;

/// How long an answer may take, if the command says nothing else.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// A register that every chip of this family answers for, and what an ESP8266 answers.
const MAGIC_REGISTER: u32 = 0x4000_1000;
const ESP8266_MAGIC: u32 = 0xfff0_c101;
/// The bit of the security flags that stands for "only signed images start".
const SECURE_BOOT: u32 = 1;

/// Writes the image for the chip that is found, verifies it, and restarts the chip. Settings are checked against the
/// chip before anything is written.
pub(super) fn write(
    port: &BoardPort,
    images: &Images,
    given: &Given,
    stage: &watch::Sender<Stage>,
) -> Result<&'static Chip, FlashError> {
    let mut connection = connect(port)?;
    let (esp, chip) = match supported(recognise(&mut connection)?) {
        Ok(found) => found,
        Err(other) => {
            // Back to the firmware that it has. A port that cannot do this needed a person before.
            let _ = connection.reset();
            return Err(FlashError::WrongChip(other));
        }
    };
    if let Some(lock) = lock(&mut connection) {
        let _ = connection.reset();
        return Err(FlashError::Locked(lock));
    }
    given.check(chip)?;
    let image = images.of(chip.name)?;

    let failed = |doing| move |error| failure(doing, &error);
    let connection = again(connection, port);
    let baud_rate = (!port.is_native_usb()).then_some(port.baud_rate);
    let mut flasher = Flasher::connect(connection, true, true, true, Some(esp), baud_rate)
        .map_err(failed("starting the transfer"))?;
    // A size that the library does not know is no reason to refuse the board.
    let size = flasher.flash_detect().map_err(failed("reading the chip"))?;
    if let Some(has) = size
        .map(|size| size.size())
        .filter(|has| *has < image.flash_bytes)
    {
        let _ = flasher.connection().reset();
        let needs = image.flash_bytes;
        return Err(FlashError::SmallFlash { has, needs });
    }
    eprintln!("chip: {}; writing wsdm-device {}", chip.name, images.version);
    stage.send_replace(Stage::Writing);
    let mut progress = Progress::of(image);
    let segments: Vec<_> = image.parts.iter().map(segment).collect();
    flasher
        .write_bins_to_flash(&segments, &mut progress)
        .map_err(failed("writing the image"))?;
    progress.bar.finish_and_clear();
    eprintln!("the image is written and verified");
    stage.send_replace(Stage::Written);
    Ok(chip)
}

fn segment(part: &Part) -> Segment<'_> {
    Segment {
        addr: part.offset,
        data: Cow::Borrowed(&part.data),
    }
}

/// Resets the chip into its boot loader, if the port can, and waits for its answer.
fn connect(port: &BoardPort) -> Result<Connection, FlashError> {
    let before = match (port.manual_reset, port.is_native_usb()) {
        (true, _) => ResetBeforeOperation::NoReset,
        (false, true) => ResetBeforeOperation::UsbReset,
        (false, false) => ResetBeforeOperation::DefaultReset,
    };
    let opened = port.open_blocking(ANSWER_TIMEOUT)?;
    let mut connection = Connection::new(opened, usb(port), ResetAfterOperation::NoReset, before, BAUD_RATE);
    connection
        .begin()
        .map_err(|_| FlashError::NoAnswer(port.path.clone()))?;
    Ok(connection)
}

/// The same connection for the transfer, which begins without a reset and ends with one.
fn again(connection: Connection, port: &BoardPort) -> Connection {
    let after = match port.manual_reset {
        true => ResetAfterOperation::NoReset,
        false => ResetAfterOperation::HardReset,
    };
    let serial = connection.into_serial();
    Connection::new(serial, usb(port), after, ResetBeforeOperation::NoReset, BAUD_RATE)
}

/// Of this only the product matters to the library, by which it knows the chip's own USB.
fn usb(port: &BoardPort) -> UsbPortInfo {
    let (vid, pid) = port.usb.unwrap_or_default();
    UsbPortInfo {
        vid,
        pid,
        serial_number: None,
        manufacturer: None,
        product: None,
    }
}

/// What answered.
enum Answer {
    Chip(EspChip),
    Esp8266,
    Unknown(u32),
}

fn recognise(connection: &mut Connection) -> Result<Answer, FlashError> {
    let error = match connection.detect_chip(false) {
        Ok(chip) => return Ok(Answer::Chip(chip)),
        Err(error @ espflash::Error::ChipDetectError(_)) => error,
        Err(error) => return Err(failure("recognising the chip", &error)),
    };
    match connection.read_reg(MAGIC_REGISTER) {
        Ok(ESP8266_MAGIC) => Ok(Answer::Esp8266),
        Ok(magic) => Ok(Answer::Unknown(magic)),
        Err(_) => Err(failure("recognising the chip", &error)),
    }
}

fn supported(answer: Answer) -> Result<(EspChip, &'static Chip), OtherChip> {
    let chip = match answer {
        Answer::Chip(chip) => chip,
        Answer::Esp8266 => return Err(OtherChip::Arduino("ESP8266")),
        Answer::Unknown(magic) => return Err(OtherChip::Unsupported(format!("unknown one ({magic:#010x})"))),
    };
    match chip {
        EspChip::Esp32c3 => Ok((chip, &ESP32C3)),
        EspChip::Esp32c6 => Ok((chip, &ESP32C6)),
        EspChip::Esp32 => Err(OtherChip::Arduino("ESP32")),
        EspChip::Esp32s2 => Err(OtherChip::Arduino("ESP32-S2")),
        EspChip::Esp32s3 => Err(OtherChip::Arduino("ESP32-S3")),
        other => Err(OtherChip::Unsupported(other.to_string().to_uppercase())),
    }
}

/// Why this chip would not start an image of ours. Chips that do not report it have no locks that matter here.
fn lock(connection: &mut Connection) -> Option<&'static str> {
    let info = connection.security_info(false).ok()?;
    if info.flags & SECURE_BOOT != 0 {
        Some("it starts signed images only (secure boot)")
    } else if !info.flash_crypt_cnt.count_ones().is_multiple_of(2) {
        Some("its flash is encrypted")
    } else {
        None
    }
}

fn failure(doing: &'static str, error: &espflash::Error) -> FlashError {
    if matches!(error, espflash::Error::VerifyFailed) {
        return FlashError::Differs;
    }
    let mut problem = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let text = cause.to_string();
        // Some errors repeat what they were made of.
        if !problem.ends_with(&text) {
            problem = format!("{problem}: {text}");
        }
        source = cause.source();
    }
    FlashError::Chip {
        doing,
        problem: printable(problem.as_bytes()),
    }
}

/// A bar for the bytes of all parts. The library counts the packets of one part at a time.
struct Progress {
    bar: ProgressBar,
    /// Bytes of the parts that are written.
    done: u64,
    /// Of the part that is being written: its bytes, and its packets.
    part: (u64, usize),
    sizes: Vec<(u32, u64)>,
}

impl Progress {
    fn of(image: &Image) -> Self {
        let sizes: Vec<_> = image
            .parts
            .iter()
            .map(|part| (part.offset, part.data.len() as u64))
            .collect();
        let all = sizes.iter().map(|(_, bytes)| bytes).sum();
        Self {
            bar: progress::bytes(all),
            done: 0,
            part: (0, 1),
            sizes,
        }
    }
}

impl ProgressCallbacks for Progress {
    fn init(&mut self, addr: u32, total: usize) {
        let size = self.sizes.iter().find(|(offset, _)| *offset == addr);
        self.part = (size.map_or(0, |(_, bytes)| *bytes), total.max(1));
    }

    fn update(&mut self, current: usize) {
        let (bytes, packets) = self.part;
        self.bar
            .set_position(self.done + bytes * current as u64 / packets as u64);
    }

    fn verifying(&mut self) {}

    fn finish(&mut self, skipped: bool) {
        if !skipped {
            self.done += self.part.0;
        }
        self.part = (0, 1);
    }
}
