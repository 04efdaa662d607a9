//! What an image says of itself: which chip it is for, and which firmware it is.
//!
//! ```text
//!   0xe9 … chip … │ header of the first segment │ description: magic … version, project …
//!     at 0, 12    │            8 bytes          │   at 32, its project at 80
//! ```

use core::fmt;

use crate::pins::Chip;

/// As much as is looked at.
pub(super) const HEAD_BYTES: usize = 112;
const MAGIC: u8 = 0xe9;
const CHIP_AT: usize = 12;
const DESCRIPTION_AT: usize = 32;
const DESCRIPTION_MAGIC: u32 = 0xabcd_5432;
const PROJECT_AT: usize = 80;
const PROJECT_BYTES: usize = 32;

/// As many bytes of an image's SHA-256 as are kept of it.
pub const IMAGE_ID_BYTES: usize = 8;

/// Which image it is: the first bytes of its SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageId(pub(super) [u8; IMAGE_ID_BYTES]);

impl ImageId {
    /// That of the image with this SHA-256.
    pub fn of(sha256: &[u8; 32]) -> Self {
        let mut id = [0; IMAGE_ID_BYTES];
        id.copy_from_slice(&sha256[..IMAGE_ID_BYTES]);
        Self(id)
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why bytes are not taken for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    NoImage,
    Chip,
    Project,
}

/// Compares the beginning of an image with the chip, and with that of the image that runs.
pub(super) fn check(head: &[u8; HEAD_BYTES], running: &[u8; HEAD_BYTES], chip: &Chip) -> Result<(), Unfit> {
    let project = project(head);
    if head[0] != MAGIC || project.is_none() {
        return Err(Unfit::NoImage);
    }
    if u16::from_le_bytes([head[CHIP_AT], head[CHIP_AT + 1]]) != chip.image {
        return Err(Unfit::Chip);
    }
    // What is no firmware of ours would know nothing of a trial, and not go back.
    if project == self::project(running) {
        Ok(())
    } else {
        Err(Unfit::Project)
    }
}

/// The name of the firmware; `None` if nothing describes it.
fn project(head: &[u8; HEAD_BYTES]) -> Option<&[u8]> {
    let magic = head.get(DESCRIPTION_AT..)?.first_chunk()?;
    (u32::from_le_bytes(*magic) == DESCRIPTION_MAGIC).then_some(())?;
    head.get(PROJECT_AT..PROJECT_AT + PROJECT_BYTES)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pins::{ESP32C3, ESP32C6};

    /// An image of so many bytes, which no chip could run.
    pub(in crate::ota) fn image(chip: &Chip, project: &str, bytes: usize, salt: u8) -> std::vec::Vec<u8> {
        let mut image: std::vec::Vec<u8> = (0..bytes).map(|at| (at / 7) as u8 ^ salt).collect();
        image[0] = MAGIC;
        image[CHIP_AT..CHIP_AT + 2].copy_from_slice(&chip.image.to_le_bytes());
        image[DESCRIPTION_AT..DESCRIPTION_AT + 4].copy_from_slice(&DESCRIPTION_MAGIC.to_le_bytes());
        image[PROJECT_AT..PROJECT_AT + PROJECT_BYTES].fill(0);
        image[PROJECT_AT..PROJECT_AT + project.len()].copy_from_slice(project.as_bytes());
        image
    }

    fn head(image: &[u8]) -> &[u8; HEAD_BYTES] {
        image.first_chunk().unwrap()
    }

    #[test]
    fn an_image_is_for_one_chip_and_of_one_firmware() {
        let (running, new) = (image(&ESP32C3, "wsdm", 200, 1), image(&ESP32C3, "wsdm", 300, 2));
        assert_eq!(check(head(&new), head(&running), &ESP32C3), Ok(()));
        assert_eq!(check(head(&new), head(&running), &ESP32C6), Err(Unfit::Chip));
        let other = image(&ESP32C3, "wsdm2", 200, 1);
        assert_eq!(check(head(&other), head(&running), &ESP32C3), Err(Unfit::Project));
        for at in [0, DESCRIPTION_AT] {
            let mut broken = new.clone();
            broken[at] ^= 1;
            assert_eq!(
                check(head(&broken), head(&running), &ESP32C3),
                Err(Unfit::NoImage)
            );
        }
    }
}
