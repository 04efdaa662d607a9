//! Random numbers from the machine's source, for keys, masks and pauses.

use virtio_drivers::device::rng::VirtIORng;
use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::mmio::MmioTransport;

use crate::dma::Dma;
use crate::machine;

/// The source, and numbers of it that were not used.
pub struct Random {
    source: VirtIORng<Dma, MmioTransport<'static>>,
    stock: [u8; 64],
    used: usize,
    filled: usize,
}

impl Random {
    /// Finds it. Without one, keys and masks would repeat from start to start.
    pub fn find() -> Self {
        let (transport, _) =
            machine::virtio(DeviceType::EntropySource).expect("QEMU started with -device virtio-rng-device");
        Self {
            source: VirtIORng::new(transport).expect("a source that starts"),
            stock: [0; 64],
            used: 0,
            filled: 0,
        }
    }

    /// The next number.
    pub fn next(&mut self) -> u32 {
        let mut bytes = [0; 4];
        for byte in &mut bytes {
            while self.used >= self.filled {
                self.filled = self
                    .source
                    .request_entropy(&mut self.stock)
                    .unwrap_or(0)
                    .min(self.stock.len());
                self.used = 0;
            }
            *byte = self.stock[self.used];
            self.used += 1;
        }
        u32::from_ne_bytes(bytes)
    }
}
