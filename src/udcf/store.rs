//! What the gateway learned: which device has which index, so that it keeps it.
//!
//! The file is replaced whole, so that it is whole at any moment, `kill -9` included. One gateway writes it; a
//! second one on the same file reads it and says that it will not remember.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use buttplug_server_device_config::{DeviceConfigurationManager, UserDeviceIdentifier};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::edit::{back_up, replace};
use super::indexes::{Indexes, Remembered};

/// After a change, others are waited for this long: a thousand devices that come at once are one file.
const GATHER: Duration = Duration::from_millis(200);
/// Writing takes at most one part in so many of the time, however long the file.
const WRITE_SHARE: u32 = 10;
/// The version of our own file.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct StateFile {
    version: u32,
    devices: Vec<Remembered>,
}

/// Device indexes, and the file that they lie in.
pub struct IndexStore {
    indexes: Arc<Mutex<Indexes>>,
    writer: Option<Writer>,
}

struct Writer {
    due: Arc<Due>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the writing thread waits for.
#[derive(Default)]
struct Due {
    state: Mutex<DueState>,
    changed: Condvar,
}

#[derive(Default)]
struct DueState {
    write: bool,
    end: bool,
}

impl Due {
    fn set(&self, set: impl FnOnce(&mut DueState)) {
        set(&mut lock(&self.state));
        self.changed.notify_all();
    }
}

impl IndexStore {
    /// Reads the file, and begins to write what is learned to it; also what went wrong, in sentences. Without a
    /// path, or where the file cannot be written, indexes last as long as this process.
    pub fn open(path: Option<&Path>) -> (Self, Vec<String>) {
        let Some(path) = path else {
            return (
                Self {
                    indexes: Arc::default(),
                    writer: None,
                },
                Vec::new(),
            );
        };
        let mut warnings = Vec::new();
        let lock = lock_file(path, &mut warnings);
        let indexes = Indexes::new(read(path, lock.is_some(), &mut warnings));
        let indexes = Arc::new(Mutex::new(indexes));
        let writer = lock.and_then(|lock| {
            let due = Arc::new(Due::default());
            let (indexes, path, waiting) = (indexes.clone(), path.to_owned(), due.clone());
            let thread = std::thread::Builder::new()
                .name("state".to_owned())
                .spawn(move || write_changes(&path, &indexes, &waiting, lock))
                .map_err(|e| warnings.push(format!("device indexes are not remembered: {e}")))
                .ok()?;
            Some(Writer {
                due,
                thread: Mutex::new(Some(thread)),
            })
        });
        (Self { indexes, writer }, warnings)
    }

    /// Reserves the indexes that the UDCF gives, and those that are remembered. An index that the UDCF gives wins.
    pub fn reserve(&self, dcm: &DeviceConfigurationManager) {
        lock(&self.indexes).reserve(dcm);
    }

    /// A device is listed: its index, which no other device has, and which it keeps. Cheap, and callable from any
    /// thread, like the other two.
    pub fn connected(&self, id: &UserDeviceIdentifier) -> u32 {
        let index = lock(&self.indexes).connected(id);
        self.write();
        index
    }

    /// The device is listed no longer: one [`IndexStore::connected`] is over.
    pub fn departed(&self, id: &UserDeviceIdentifier) {
        lock(&self.indexes).departed(id);
    }

    /// A client commanded an output of the device.
    pub fn commanded(&self, id: &UserDeviceIdentifier) {
        if lock(&self.indexes).commanded(id) {
            self.write();
        }
    }

    fn write(&self) {
        if let Some(writer) = &self.writer {
            writer.due.set(|due| due.write = true);
        }
    }

    /// Writes what is not yet written, and ends the writing. Blocks until the file is on the disk.
    pub fn flush(&self) {
        let Some(writer) = &self.writer else { return };
        writer.due.set(|due| due.end = true);
        let thread = lock(&writer.thread).take();
        // It has no place that panics; if it did, the file is the last whole one.
        let _ = thread.map(JoinHandle::join);
    }
}

impl Drop for IndexStore {
    fn drop(&mut self) {
        self.flush();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The writing thread. Holds the lock on the file for as long as it may write.
fn write_changes(path: &Path, indexes: &Mutex<Indexes>, due: &Due, _lock: File) {
    let mut said = false;
    let mut gather = GATHER;
    loop {
        let waiting = lock(&due.state);
        let waiting = due.changed.wait_while(waiting, |due| !due.write && !due.end);
        let waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        // More changes are on their way, most likely; but an end waits for nothing.
        let gathered = due.changed.wait_timeout_while(waiting, gather, |due| !due.end);
        let (mut state, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        let (write_now, end) = (std::mem::take(&mut state.write), state.end);
        drop(state);
        if write_now {
            let started = Instant::now();
            write(path, indexes, &mut said);
            gather = GATHER.max(WRITE_SHARE * started.elapsed());
        }
        if end {
            return;
        }
    }
}

fn write(path: &Path, indexes: &Mutex<Indexes>, said: &mut bool) {
    let devices = lock(indexes).remembered();
    let file = StateFile {
        version: VERSION,
        devices,
    };
    let text = serde_json::to_string_pretty(&file).expect("strings and numbers are always JSON");
    match replace(path, &(text + "\n")) {
        Ok(()) => *said = false,
        Err(e) if !*said => {
            *said = true;
            warn!(
                "device indexes are not remembered: {} cannot be written: {e}",
                path.display()
            );
        }
        Err(_) => {}
    }
}

/// The right to write the file, held for as long as this is open. Without it, what is wrong is said.
fn lock_file(path: &Path, warnings: &mut Vec<String>) -> Option<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let opened = path
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| File::options().create(true).append(true).open(&name));
    let file = match opened {
        Ok(file) => file,
        Err(e) => {
            let folder = path.parent().unwrap_or(path).display();
            warnings.push(format!(
                "device indexes are not remembered: {folder} cannot be written: {e}"
            ));
            return None;
        }
    };
    match file.try_lock() {
        Ok(()) => Some(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            warnings.push(format!(
                "another gateway remembers device indexes in {}: this one reads them and adds nothing; give it a file \
                 of its own with --state",
                path.display()
            ));
            None
        }
        Err(std::fs::TryLockError::Error(e)) => {
            warnings.push(format!(
                "device indexes are not remembered: {} cannot be locked: {e}",
                name.display()
            ));
            None
        }
    }
}

/// Reads the file. One that is not ours, or damaged, is moved aside by who may write, and never deleted.
fn read(path: &Path, may_write: bool, warnings: &mut Vec<String>) -> Vec<Remembered> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(e) if e.kind() == std::io::ErrorKind::InvalidData => String::new(),
        Err(e) => {
            warnings.push(format!(
                "device indexes are not known: {} cannot be read: {e}",
                path.display()
            ));
            return Vec::new();
        }
    };
    let problem = match serde_json::from_str::<StateFile>(&text) {
        Ok(file) if file.version == VERSION => {
            return file.devices;
        }
        Ok(file) => format!("its version is {}, not {VERSION}", file.version),
        Err(e) => e.to_string(),
    };
    let mut warning = format!(
        "device indexes are not known: {} is not ours: {problem}",
        path.display()
    );
    if may_write {
        match back_up(path).and_then(|copy| std::fs::remove_file(path).map(|()| copy)) {
            Ok(copy) => warning += &format!("; it is kept as {}", copy.display()),
            Err(e) => warning += &format!("; it could not be moved aside: {e}"),
        }
    }
    warnings.push(warning);
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::udcf::Udcf;

    fn id(address: &str) -> UserDeviceIdentifier {
        UserDeviceIdentifier::new(address, "lovense", &None)
    }

    #[test]
    fn what_is_remembered_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep").join("state.json");
        let (store, warnings) = IndexStore::open(Some(&path));
        assert!(warnings.is_empty(), "{warnings:?}");
        let hush = UserDeviceIdentifier::new("hush", "lovense", &Some("Z".to_owned()));
        assert_eq!(store.connected(&id("first")), 0);
        assert_eq!(store.connected(&hush), 1);
        assert_eq!(store.connected(&id("mute")), 2);
        store.flush();
        drop(store);

        let (store, _) = IndexStore::open(Some(&path));
        let dcm = Udcf::builtin().device_configuration().unwrap();
        store.reserve(&dcm);
        // A new device gets one that nobody has, and may come before those that are remembered.
        assert_eq!(store.connected(&id("new")), 3);
        assert_eq!(store.connected(&id("mute")), 2);
        assert_eq!(store.connected(&hush), 1);
        assert_eq!(store.connected(&id("first")), 0);
    }

    #[test]
    fn a_second_gateway_reads_and_says_that_it_will_not_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let (first, _) = IndexStore::open(Some(&path));
        first.connected(&id("a"));
        let (_second, warnings) = IndexStore::open(Some(&path));
        assert!(
            warnings.iter().any(|w| w.contains("another gateway")),
            "{warnings:?}"
        );
    }

    #[test]
    fn a_damaged_file_is_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        std::fs::write(&path, "{\"version\": 1, \"devices\": [").unwrap();
        let (store, warnings) = IndexStore::open(Some(&path));
        assert!(
            warnings.iter().any(|w| w.contains("state.json.bak")),
            "{warnings:?}"
        );
        assert!(folder.path().join("state.json.bak").exists());
        store.connected(&id("a"));
        store.flush();
        assert!(std::fs::read_to_string(&path).unwrap().contains("\"a\""));
    }

    #[test]
    fn no_two_devices_get_one_index() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let device = |address, seen| {
            serde_json::json!({
                "protocol": "lovense", "identifier": null, "address": address, "index": 0, "last_seen": seen
            })
        };
        let file =
            serde_json::json!({"version": 1, "devices": [device("a", 1), device("b", 3), device("c", 2)]});
        std::fs::write(&path, file.to_string()).unwrap();
        let (store, warnings) = IndexStore::open(Some(&path));
        assert!(warnings.is_empty(), "{warnings:?}");
        let dcm = Udcf::builtin().device_configuration().unwrap();
        store.reserve(&dcm);
        // The one that was here last keeps it.
        let indexes = ["a", "b", "c"].map(|address| store.connected(&id(address)));
        assert_eq!(indexes, [1, 0, 2]);
    }
}
