//! The system's serial ports: what is there, what it is, and who has it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::text::shell_word;

/// A serial port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PortInfo {
    /// The device node, or the name where ports are no files.
    pub path: PathBuf,
    /// A name that stays the same wherever the board is plugged in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_id: Option<PathBuf>,
    /// What is known of a port on USB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usb: Option<UsbInfo>,
}

/// What a USB device says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UsbInfo {
    /// Its maker.
    #[serde(serialize_with = "hex_id")]
    pub vid: u16,
    /// Its kind.
    #[serde(serialize_with = "hex_id")]
    pub pid: u16,
    /// Which one it is; cheap adapters have none.
    pub serial_number: Option<String>,
    /// Its name.
    pub product: Option<String>,
    /// Its maker's name.
    pub manufacturer: Option<String>,
}

fn hex_id<S: serde::Serializer>(id: &u16, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{id:04x}"))
}

/// Which USB ports are meant: all that is given must be equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortMatch {
    /// See [`UsbInfo::vid`].
    pub vid: Option<u16>,
    /// See [`UsbInfo::pid`].
    pub pid: Option<u16>,
    /// See [`UsbInfo::serial_number`].
    pub serial_number: Option<String>,
    /// See [`UsbInfo::product`].
    pub product: Option<String>,
    /// See [`UsbInfo::manufacturer`].
    pub manufacturer: Option<String>,
}

impl PortMatch {
    /// Whether this port is meant; one that is not on USB never is.
    pub fn matches(&self, port: &PortInfo) -> bool {
        let Some(usb) = &port.usb else { return false };
        let id = |wanted: Option<u16>, is: u16| wanted.is_none_or(|wanted| wanted == is);
        let text = |wanted: &Option<String>, is: &Option<String>| wanted.is_none() || wanted == is;
        id(self.vid, usb.vid)
            && id(self.pid, usb.pid)
            && text(&self.serial_number, &usb.serial_number)
            && text(&self.product, &usb.product)
            && text(&self.manufacturer, &usb.manufacturer)
    }
}

/// A process that has a port open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub program: String,
}

/// Whether a port can be opened. Found out without opening it, which would restart many boards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Access {
    /// Nobody who can be seen has it.
    Free,
    /// Somebody has it open.
    Held {
        /// Who.
        by: Vec<Holder>,
    },
    /// This user may not.
    Forbidden {
        /// The group that may, where there is one.
        group: Option<String>,
    },
    /// It is not there.
    Gone,
}

impl Access {
    /// One line on what to do; `None` where nothing is in the way.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Free => None,
            Self::Held { by } => Some(format!("{} has it open; close it there", names(by))),
            Self::Forbidden { group: Some(group) } if group != "root" => Some(format!(
                "this user may not open it: sudo usermod -aG {} $USER, then log in again",
                shell_word(group)
            )),
            Self::Forbidden { .. } => {
                Some("only the administrator may open it; give it to a group with udev".to_owned())
            }
            Self::Gone => Some("it is not there; wsdm-gateway ports lists what is".to_owned()),
        }
    }
}

impl std::fmt::Display for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Free => f.write_str("free"),
            Self::Held { by } => write!(f, "held by {}", names(by)),
            Self::Forbidden { group: Some(group) } => write!(f, "no permission (group {group})"),
            Self::Forbidden { group: None } => f.write_str("no permission"),
            Self::Gone => f.write_str("not there"),
        }
    }
}

fn names(holders: &[Holder]) -> String {
    let names = holders
        .iter()
        .map(|h| format!("{} (pid {})", h.program.escape_debug(), h.pid));
    names.collect::<Vec<_>>().join(", ")
}

/// The serial ports under a root, which only tests set to anything but `/`.
#[derive(Clone, Debug)]
pub struct Ports {
    root: PathBuf,
}

impl Ports {
    /// The system's.
    pub fn system() -> Self {
        Self::under("/")
    }

    /// Those of a system whose files lie here.
    pub fn under(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Every port that has hardware behind it, ordered by name; a port that goes meanwhile is left out.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn list(&self) -> io::Result<Vec<PortInfo>> {
        let mut ports = self.enumerate()?;
        ports.sort_by_cached_key(|port| natural(&port.path.to_string_lossy()));
        Ok(ports)
    }

    #[cfg(target_os = "linux")]
    fn enumerate(&self) -> io::Result<Vec<PortInfo>> {
        let by_id = self.by_id();
        let entries = match fs::read_dir(self.root.join("sys/class/tty")) {
            Ok(entries) => entries,
            // A container without any.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut ports = Vec::new();
        for entry in entries.flatten() {
            let class = entry.path();
            // Consoles have no device; of the four ports that every PC lists, most have no hardware: type 0.
            let Ok(device) = class.join("device").canonicalize() else {
                continue;
            };
            let unknown = fs::read_to_string(class.join("type")).is_ok_and(|kind| kind.trim() == "0");
            if unknown || !device.join("driver").exists() {
                continue;
            }
            let name = entry.file_name();
            ports.push(PortInfo {
                by_id: by_id
                    .iter()
                    .find(|(_, node)| *node == name)
                    .map(|(link, _)| link.clone()),
                // The kernel writes a slash of a name, as in pts/3, in this way.
                path: Path::new("/dev").join(name.to_string_lossy().replace('!', "/")),
                usb: self.usb(&device),
            });
        }
        Ok(ports)
    }

    #[cfg(not(target_os = "linux"))]
    fn enumerate(&self) -> io::Result<Vec<PortInfo>> {
        let ports = tokio_serial::available_ports().map_err(|e| io::Error::other(e.to_string()))?;
        // macOS has each port twice; /dev/tty.* waits for a carrier that no board gives.
        let ports = ports
            .into_iter()
            .filter(|port| !port.port_name.starts_with("/dev/tty."));
        Ok(ports
            .map(|port| PortInfo {
                path: port.port_name.into(),
                by_id: None,
                usb: match port.port_type {
                    tokio_serial::SerialPortType::UsbPort(usb) => Some(UsbInfo {
                        vid: usb.vid,
                        pid: usb.pid,
                        serial_number: usb.serial_number,
                        product: usb.product,
                        manufacturer: usb.manufacturer,
                    }),
                    _ => None,
                },
            })
            .collect())
    }

    /// Links under /dev/serial/by-id with the name of the node that each leads to.
    #[cfg(target_os = "linux")]
    fn by_id(&self) -> Vec<(PathBuf, std::ffi::OsString)> {
        let links = fs::read_dir(self.root.join("dev/serial/by-id"))
            .into_iter()
            .flatten()
            .flatten();
        let named = links.filter_map(|link| {
            let node = fs::read_link(link.path()).ok()?.file_name()?.to_owned();
            Some((Path::new("/dev/serial/by-id").join(link.file_name()), node))
        });
        named.collect()
    }

    /// The USB device that a port belongs to: some way up from it.
    #[cfg(target_os = "linux")]
    fn usb(&self, device: &Path) -> Option<UsbInfo> {
        let sys = self.root.canonicalize().ok()?.join("sys");
        let usb = device
            .ancestors()
            .take_while(|folder| folder.starts_with(&sys))
            .find(|folder| folder.join("idVendor").exists())?;
        let text = |name: &str| {
            let text = fs::read_to_string(usb.join(name)).ok()?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let id = |name: &str| u16::from_str_radix(&text(name)?, 16).ok();
        Some(UsbInfo {
            vid: id("idVendor")?,
            pid: id("idProduct")?,
            serial_number: text("serial"),
            product: text("product"),
            manufacturer: text("manufacturer"),
        })
    }

    /// Whether this user can open a port, without opening it.
    pub fn access(&self, port: &Path) -> Access {
        #[cfg(unix)]
        {
            use rustix::fs::{Access as Mode, AtFlags, CWD};
            let node = self.real(port);
            match rustix::fs::accessat(CWD, &node, Mode::READ_OK | Mode::WRITE_OK, AtFlags::EACCESS) {
                Ok(()) => {}
                Err(rustix::io::Errno::NOENT) => return Access::Gone,
                Err(_) => {
                    return Access::Forbidden {
                        group: self.group(&node),
                    };
                }
            }
        }
        let by = self.holders(port);
        if by.is_empty() {
            Access::Free
        } else {
            Access::Held { by }
        }
    }

    /// The file that a listed port is.
    pub fn real(&self, port: &Path) -> PathBuf {
        self.root.join(port.strip_prefix("/").unwrap_or(port))
    }

    /// The processes that have a port open. Those of other users cannot be looked at: none is no proof.
    pub fn holders(&self, port: &Path) -> Vec<Holder> {
        let Ok(node) = self.real(port).canonicalize() else {
            return Vec::new();
        };
        let processes = fs::read_dir(self.root.join("proc"))
            .into_iter()
            .flatten()
            .flatten();
        let mut holders: Vec<Holder> = processes
            .filter_map(|process| {
                let pid: u32 = process.file_name().to_str()?.parse().ok()?;
                let files = fs::read_dir(process.path().join("fd")).ok()?.flatten();
                let mut opened = files.filter_map(|file| fs::read_link(file.path()).ok());
                opened.any(|opened| opened == node).then_some(())?;
                let program = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                Some(Holder {
                    pid,
                    program: program.trim().to_owned(),
                })
            })
            .collect();
        holders.sort_by_key(|holder| holder.pid);
        holders
    }

    /// The name of the group that a node belongs to.
    #[cfg(unix)]
    fn group(&self, node: &Path) -> Option<String> {
        use std::os::unix::fs::MetadataExt;
        let gid = fs::metadata(node).ok()?.gid().to_string();
        let groups = fs::read_to_string(self.root.join("etc/group")).ok()?;
        groups.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == gid).then(|| name.to_owned())
        })
    }

    /// One line on what to do about a port that could not be opened.
    pub fn open_hint(&self, port: &Path, error: &io::Error) -> String {
        if let Some(hint) = self.access(port).hint() {
            return hint;
        }
        match error.kind() {
            io::ErrorKind::ResourceBusy => {
                "another program has it open, perhaps a serial monitor or another user's; close it there"
                    .to_owned()
            }
            io::ErrorKind::PermissionDenied => "this user may not open it".to_owned(),
            _ => "is it a serial port? wsdm-gateway ports lists those that are there".to_owned(),
        }
    }
}

/// Names these ports, as part of a sentence.
pub fn in_words(ports: &[PortInfo]) -> String {
    if ports.is_empty() {
        return "there are no serial ports; is the cable a data cable?".to_owned();
    }
    let words = ports.iter().map(|port| {
        let product = port.usb.as_ref().and_then(|usb| usb.product.as_deref());
        let product = product.map(|product| format!(" ({})", product.escape_debug()));
        format!("{}{}", port.path.display(), product.unwrap_or_default())
    });
    format!("the system has {}", words.collect::<Vec<_>>().join(", "))
}

/// A key that puts ttyUSB10 behind ttyUSB2.
fn natural(name: &str) -> (String, u64, String) {
    let end = name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (stem, number) = name.split_at(end);
    (stem.to_owned(), number.parse().unwrap_or(0), name.to_owned())
}
