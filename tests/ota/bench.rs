//! A computer with images of the firmware, and runs of `ota` there.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;

use super::board::{NUMBER, PASSWORD, PROJECT};
use super::images;
use crate::common::process::command;

/// The version of the images.
pub const NEW: &str = "0.2.0";

pub struct Bench {
    pub home: TempDir,
    pub images: PathBuf,
    pub password: PathBuf,
}

impl Bench {
    pub fn new() -> Self {
        let home = TempDir::new().unwrap();
        let password = home.path().join("updates.txt");
        std::fs::write(&password, format!("{PASSWORD}\r\n")).unwrap();
        Self {
            images: images_in(home.path(), PROJECT, NEW),
            home,
            password,
        }
    }

    /// What is sent.
    pub fn app(&self) -> Vec<u8> {
        images::firmware(NUMBER, PROJECT, NEW)
    }

    /// `ota` with its password, and without anybody to ask.
    pub fn ota(&self, board: &str, args: &[&str]) -> Command {
        let mut command = self.without_password(board, args);
        command.arg("--password-file").arg(&self.password);
        command
    }

    pub fn without_password(&self, board: &str, args: &[&str]) -> Command {
        let mut command = command(self.home.path(), &["ota", board]);
        command.arg("--images").arg(&self.images).args(args);
        command.stdin(Stdio::null());
        command
    }
}

/// A folder with images of one chip.
pub fn images_in(folder: &Path, project: &str, version: &str) -> PathBuf {
    let mut parts = images::parts(NUMBER);
    parts[2].1 = images::firmware(NUMBER, project, version);
    images::write(folder, &[("ESP32-C3", parts)])
}
