//! Both ends of a pseudo-terminal.

use std::fs::File;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// The board's end, the name of the other, and that one, held open and raw.
pub fn pair() -> (File, String, File) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a pty");
    grantpt(&master).expect("granted");
    unlockpt(&master).expect("unlocked");
    let name = ptsname(&master, Vec::new()).expect("a name");
    let name = name.to_str().expect("text").to_owned();
    let slave = rustix::fs::open(
        name.as_str(),
        OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .expect("its other end");
    // Else the terminal echoes what the board says before anybody has opened it.
    let mut attributes = tcgetattr(&slave).expect("a terminal");
    attributes.make_raw();
    tcsetattr(&slave, OptionalActions::Now, &attributes).expect("a terminal");
    (File::from(master), name, File::from(slave))
}
