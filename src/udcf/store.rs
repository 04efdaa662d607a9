//! The state file: remembers each device's index, so that the device keeps it.
//!
//! The file is replaced atomically, so it is complete at any moment, even after `kill -9`. One gateway writes it; a
//! second gateway on the same file reads it and warns that it will not write. A file that cannot be read is never
//! replaced; one with foreign content is moved aside first.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use buttplug_server_device_config::{DeviceConfigurationManager, UserDeviceIdentifier};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::edit::{back_up, replace};
use super::indexes::{Indexes, Remembered};
use crate::text::shell_word;

/// How long further changes are awaited after one: a thousand devices that arrive at once cause one write.
const GATHER: Duration = Duration::from_millis(200);
/// Writing takes at most one part in this many of the time, no matter how large the file is.
const WRITE_SHARE: u32 = 10;
/// The version of the file's format.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct StateFile {
    version: u32,
    devices: Vec<Remembered>,
}

/// Device indexes, and the file that stores them.
pub struct IndexStore {
    indexes: Arc<Mutex<Indexes>>,
    writer: Option<Writer>,
}

struct Writer {
    due: Arc<Due>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The signals to the writing thread.
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
    /// Reads the file and starts the thread that saves changes; returns warnings, in sentences. Without a path, or if
    /// the file cannot be read or written, indexes last as long as this process.
    pub fn open(path: Option<&Path>) -> (Self, Vec<String>) {
        let forgetful = || Self {
            indexes: Arc::default(),
            writer: None,
        };
        let Some(path) = path else {
            return (forgetful(), Vec::new());
        };
        // Before a lock is put beside it: people who want nothing remembered name `/dev/null`.
        if std::fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            return (forgetful(), vec![StateError::NotAFile.left_alone(path)]);
        }
        let mut warnings = Vec::new();
        let mut lock = lock_file(path, &mut warnings);
        let devices = read(path).unwrap_or_else(|e| {
            match (&e, &lock) {
                (StateError::NotOurs(_), None) => warnings.push(e.about(path)),
                (StateError::NotOurs(_), Some(_)) => match move_aside(path) {
                    Ok(copy) => warnings.push(format!("{}; it is kept as {}", e.about(path), copy.display())),
                    Err(cause) => {
                        lock = None;
                        warnings.push(format!(
                            "{}; it cannot be moved aside: {cause}",
                            e.left_alone(path)
                        ));
                    }
                },
                (StateError::Unreadable(_) | StateError::NotAFile, _) => {
                    lock = None;
                    warnings.push(e.left_alone(path));
                }
            }
            Vec::new()
        });
        let indexes = Arc::new(Mutex::new(Indexes::new(devices)));
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

    /// Reserves the indexes that the UDCF assigns, then the remembered ones. If both claim an index, the UDCF wins.
    pub fn reserve(&self, dcm: &DeviceConfigurationManager) {
        lock(&self.indexes).reserve(dcm);
    }

    /// Records that a device is listed, and returns its index, which it keeps and shares with no other. Cheap, and
    /// callable from any thread, like the other two.
    pub fn connected(&self, id: &UserDeviceIdentifier) -> u32 {
        let index = lock(&self.indexes).connected(id);
        self.write();
        index
    }

    /// Records that the device is no longer listed: the counterpart of one [`IndexStore::connected`].
    pub fn departed(&self, id: &UserDeviceIdentifier) {
        lock(&self.indexes).departed(id);
    }

    /// Records that a client commanded an output of the device.
    pub fn commanded(&self, id: &UserDeviceIdentifier) {
        if lock(&self.indexes).commanded(id) {
            self.write();
        }
    }

    /// Whether a client ever commanded an output of the device, in this process or before.
    pub fn was_commanded(&self, id: &UserDeviceIdentifier) -> bool {
        lock(&self.indexes).was_commanded(id)
    }

    /// The addresses of the devices of which a client ever commanded an output.
    pub fn all_commanded(&self) -> Vec<String> {
        lock(&self.indexes).all_commanded()
    }

    fn write(&self) {
        if let Some(writer) = &self.writer {
            writer.due.set(|due| due.write = true);
        }
    }

    /// Writes pending changes and stops the writing thread. Blocks until the file is on the disk.
    pub fn flush(&self) {
        let Some(writer) = &self.writer else { return };
        writer.due.set(|due| due.end = true);
        let thread = lock(&writer.thread).take();
        // The thread does not panic; if it did, the file would be the last complete one.
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

/// The writing thread. Holds the lock on the file as long as it may write.
fn write_changes(path: &Path, indexes: &Mutex<Indexes>, due: &Due, _lock: File) {
    let mut warned = false;
    let mut gather = GATHER;
    loop {
        let waiting = lock(&due.state);
        let waiting = due.changed.wait_while(waiting, |due| !due.write && !due.end);
        let waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        // More changes most likely follow soon, but shutdown does not wait for them.
        let gathered = due.changed.wait_timeout_while(waiting, gather, |due| !due.end);
        let (mut state, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        let (write_now, end) = (std::mem::take(&mut state.write), state.end);
        drop(state);
        if write_now {
            let started = Instant::now();
            write(path, indexes, &mut warned);
            gather = GATHER.max(WRITE_SHARE * started.elapsed());
        }
        if end {
            return;
        }
    }
}

fn write(path: &Path, indexes: &Mutex<Indexes>, warned: &mut bool) {
    let devices = lock(indexes).remembered();
    let file = StateFile {
        version: VERSION,
        devices,
    };
    let text = serde_json::to_string_pretty(&file).expect("strings and numbers are always JSON");
    match replace(path, &(text + "\n")) {
        Ok(()) => *warned = false,
        Err(e) if !*warned => {
            *warned = true;
            warn!(
                "device indexes are not remembered: {} cannot be written: {e}",
                path.display()
            );
        }
        Err(_) => {}
    }
}

/// Acquires the exclusive right to write the file, held until this is closed. On failure, adds a warning.
fn lock_file(path: &Path, warnings: &mut Vec<String>) -> Option<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    if let Some(folder) = path.parent()
        && let Err(e) = std::fs::create_dir_all(folder)
    {
        warnings.push(format!(
            "device indexes are not remembered: {} cannot be made: {e}; --state FILE names another place",
            folder.display()
        ));
        return None;
    }
    let file = match File::options().create(true).append(true).open(&name) {
        Ok(file) => file,
        Err(e) => {
            warnings.push(format!(
                "device indexes are not remembered: {} cannot be opened: {e}; {}",
                name.display(),
                what_to_do(&name, &e)
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

/// Why nothing is known from the file.
#[derive(Debug, thiserror::Error)]
enum StateError {
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    #[error("is not a file")]
    NotAFile,
    /// Damaged, or written by another program or version.
    #[error("cannot be used: {0}")]
    NotOurs(String),
}

impl StateError {
    fn about(&self, path: &Path) -> String {
        format!("device indexes are not known: {} {self}", path.display())
    }

    /// Warns that the file is left as it is, with a hint.
    fn left_alone(&self, path: &Path) -> String {
        let what_to_do = match self {
            Self::Unreadable(e) => what_to_do(path, e),
            Self::NotAFile | Self::NotOurs(_) => ANOTHER_FILE.to_owned(),
        };
        format!(
            "{}; it is left as it is, and nothing new is remembered: {what_to_do}",
            self.about(path)
        )
    }
}

const ANOTHER_FILE: &str = "--state FILE names another file";

fn what_to_do(path: &Path, error: &io::Error) -> String {
    if cfg!(unix) && error.kind() == io::ErrorKind::PermissionDenied {
        // A run as administrator leaves files like this.
        let path = shell_word(&path.to_string_lossy());
        format!("if it is another user's, sudo chown $USER {path} takes it over; {ANOTHER_FILE}")
    } else {
        ANOTHER_FILE.to_owned()
    }
}

/// Reads the file; a missing file has no devices.
fn read(path: &Path) -> Result<Vec<Remembered>, StateError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => {
            return Err(StateError::NotOurs("it is not UTF-8".to_owned()));
        }
        Err(e) => return Err(StateError::Unreadable(e)),
    };
    let file: StateFile = serde_json::from_str(&text).map_err(|e| StateError::NotOurs(e.to_string()))?;
    if file.version != VERSION {
        let problem = format!("its version is {}, not {VERSION}", file.version);
        return Err(StateError::NotOurs(problem));
    }
    Ok(file.devices)
}

/// Moves a file to another name.
fn move_aside(path: &Path) -> io::Result<PathBuf> {
    let copy = back_up(path)?;
    std::fs::remove_file(path)?;
    Ok(copy)
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
        // A new device gets an index that no other has, even if it connects before the remembered ones.
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
    fn what_is_not_utf_8_is_moved_aside_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        std::fs::write(&path, b"\xff\xfe").unwrap();
        let (_store, warnings) = IndexStore::open(Some(&path));
        assert!(
            warnings
                .iter()
                .any(|w| w.contains("not UTF-8") && w.contains("state.json.bak")),
            "{warnings:?}"
        );
        assert_eq!(
            std::fs::read(folder.path().join("state.json.bak")).unwrap(),
            b"\xff\xfe"
        );
    }

    /// Directories, devices and sockets are never replaced by a file of ours.
    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("folder")).unwrap();
        std::os::unix::fs::symlink("/dev/null", path("null")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        for name in ["folder", "null", "socket"] {
            let kind = std::fs::symlink_metadata(path(name)).unwrap().file_type();
            let (store, warnings) = IndexStore::open(Some(&path(name)));
            assert!(
                warnings
                    .iter()
                    .any(|w| w.contains("left as it is") && w.contains("--state FILE")),
                "{name}: {warnings:?}"
            );
            store.connected(&id("a"));
            store.flush();
            assert_eq!(
                std::fs::symlink_metadata(path(name)).unwrap().file_type(),
                kind,
                "{name}"
            );
            assert!(!path(&format!("{name}.bak")).exists());
        }
    }

    /// A lock that another user left is not mistaken for a directory that cannot be written.
    #[cfg(unix)]
    #[test]
    fn a_lock_that_cannot_be_opened_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        std::fs::create_dir(folder.path().join("state.json.lock")).unwrap();
        let (_store, warnings) = IndexStore::open(Some(&path));
        assert!(
            warnings
                .iter()
                .any(|w| w.contains("state.json.lock cannot be opened")),
            "{warnings:?}"
        );
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
        // The device that was seen last keeps it.
        let indexes = ["a", "b", "c"].map(|address| store.connected(&id(address)));
        assert_eq!(indexes, [1, 0, 2]);
    }
}
