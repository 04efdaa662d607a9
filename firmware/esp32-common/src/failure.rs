//! The end of everything that was not foreseen: outputs off, a line for whoever watches, and anew.

use core::panic::PanicInfo;

use esp_println::println;

use crate::pins;

/// Exceptions of the processor and of the allocator end here, too.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    pins::all_low();
    println!("\npanic: {info}");
    esp_hal::system::software_reset()
}
