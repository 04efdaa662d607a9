//! A system's serial ports, as the kernel tells of them: a tree of files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use wsdm_gateway::link::serial::ports::Ports;

/// Dropping it removes it.
pub struct System {
    pub root: TempDir,
}

impl System {
    pub fn new() -> Self {
        let root = TempDir::new().expect("a folder to write in");
        for folder in ["sys/class/tty", "dev/serial/by-id", "proc", "etc"] {
            fs::create_dir_all(root.path().join(folder)).expect("a folder to write in");
        }
        // A console has no device; a port of the mainboard without hardware has one, of type 0.
        fs::create_dir_all(root.path().join("sys/class/tty/tty1")).expect("a folder to write in");
        let system = Self { root };
        system.tty("devices/platform/serial8250", "ttyS1", "serial8250");
        fs::write(system.path("sys/class/tty/ttyS1/type"), "0\n").expect("a folder to write in");
        system
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub fn ports(&self) -> Ports {
        Ports::under(self.root.path())
    }

    /// A port below this device of sysfs.
    pub fn tty(&self, device: &str, name: &str, driver: &str) {
        let device = self.path("sys").join(device);
        let tty = device.join("tty").join(name);
        fs::create_dir_all(&tty).expect("a folder to write in");
        let drivers = self.path("sys/bus").join(driver);
        fs::create_dir_all(&drivers).expect("a folder to write in");
        let _ = symlink(&drivers, device.join("driver"));
        symlink(&device, tty.join("device")).expect("a folder to write in");
        symlink(&tty, self.path("sys/class/tty").join(name)).expect("a folder to write in");
        fs::write(self.path("dev").join(name), "").expect("a folder to write in");
    }

    /// A USB adapter with one port.
    pub fn usb(&self, at: &str, name: &str, attributes: &[(&str, &str)]) {
        let usb = format!("devices/pci0000:00/0000:00:14.0/usb1/{at}");
        self.tty(&format!("{usb}/{at}:1.0/{name}"), name, "ch341-uart");
        for (attribute, value) in attributes {
            fs::write(self.path("sys").join(&usb).join(attribute), format!("{value}\n"))
                .expect("a folder to write in");
        }
        symlink(
            Path::new("../..").join(name),
            self.path("dev/serial/by-id").join(format!("usb-{name}-if00")),
        )
        .expect("a folder to write in");
    }

    pub fn unplug(&self, name: &str) {
        fs::remove_file(self.path("sys/class/tty").join(name)).expect("a folder to write in");
    }
}

pub const CH340: &[(&str, &str)] = &[
    ("idVendor", "1a86"),
    ("idProduct", "7523"),
    ("product", "USB Serial"),
];
pub const ARDUINO: &[(&str, &str)] = &[
    ("idVendor", "2341"),
    ("idProduct", "0043"),
    ("product", "Uno"),
    ("manufacturer", "Arduino (www.arduino.cc)"),
    ("serial", "75834353030351F0E1B1"),
];
