//! Memory that the machine's devices read and write. There is no MMU: addresses are what they are.

use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// Two queues for the card and one for random numbers, two pages each, and some to spare.
const PAGES: usize = 16;

#[repr(align(4096))]
struct Pool(UnsafeCell<[u8; PAGES * PAGE_SIZE]>);

// SAFETY: `dma_alloc` gives each page out once; nothing else touches it.
unsafe impl Sync for Pool {}

static POOL: Pool = Pool(UnsafeCell::new([0; PAGES * PAGE_SIZE]));
static USED: AtomicUsize = AtomicUsize::new(0);

/// What virtio-drivers needs.
pub struct Dma;

// SAFETY: pages are aligned, zeroed, given out once, and never taken back. Memory has one address for processor and
// devices.
unsafe impl Hal for Dma {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        // One processor, and no interrupt is ever taken: nobody comes in between.
        let first = USED.load(Ordering::SeqCst);
        let end = first + pages;
        assert!(end <= PAGES, "more pages than the devices of this board need");
        USED.store(end, Ordering::SeqCst);
        // SAFETY: `first` is below `PAGES`, so this is within the pool.
        let page = unsafe { POOL.0.get().cast::<u8>().add(first * PAGE_SIZE) };
        (
            page as PhysAddr,
            NonNull::new(page).expect("a static has an address"),
        )
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        // Devices live as long as the board.
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::new(address as *mut u8).expect("no device is at 0")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.as_ptr().cast::<u8>() as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}
