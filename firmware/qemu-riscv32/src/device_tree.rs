//! The flattened device tree that QEMU leaves in memory: of all that it holds, the kernel's command line.

use core::ffi::CStr;

const MAGIC: u32 = 0xd00d_feed;
/// QEMU's has some 5 KiB. One that claims more than this is none.
const MAX_BYTES: usize = 1024 * 1024;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;

/// The command line in the tree at this address.
///
/// # Safety
/// A device tree is there, as QEMU says in `a1`, or at least readable memory; and it stays unchanged for ever.
pub unsafe fn command_line(address: usize) -> Option<&'static str> {
    // SAFETY: eight bytes of it, in which it says what it is and how long.
    let start = unsafe { core::slice::from_raw_parts(address as *const u8, 8) };
    let size = word(start, 4)? as usize;
    if word(start, 0)? != MAGIC || size > MAX_BYTES {
        return None;
    }
    // SAFETY: the whole of it; the header was right, so the size is.
    find(unsafe { core::slice::from_raw_parts(address as *const u8, size) })
}

/// The text of `/chosen/bootargs`. No other node has a property of that name.
fn find(tree: &[u8]) -> Option<&str> {
    let names = tree.get(word(tree, 12)? as usize..)?;
    let mut at = word(tree, 8)? as usize;
    loop {
        let token = word(tree, at)?;
        at += 4;
        match token {
            BEGIN_NODE => {
                let name = CStr::from_bytes_until_nul(tree.get(at..)?).ok()?;
                at = aligned(at + name.to_bytes_with_nul().len());
            }
            PROPERTY => {
                let len = word(tree, at)? as usize;
                let name = CStr::from_bytes_until_nul(names.get(word(tree, at + 4)? as usize..)?).ok()?;
                let value = tree.get(at + 8..)?.get(..len)?;
                if name == c"bootargs" {
                    return CStr::from_bytes_until_nul(value).ok()?.to_str().ok();
                }
                at = aligned(at + 8 + len);
            }
            END_NODE | NOP => {}
            _ => return None,
        }
    }
}

/// A big-endian word.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Tokens stand at multiples of four.
fn aligned(at: usize) -> usize {
    (at + 3) & !3
}
