//! What differs from chip to chip.

use wsdm_device_board::Chip;

#[cfg(feature = "esp32c3")]
pub use c3::*;
#[cfg(feature = "esp32c6")]
pub use c6::*;

#[cfg(feature = "esp32c3")]
mod c3 {
    use super::Chip;

    /// This chip.
    pub const CHIP: Chip = wsdm_device_board::ESP32C3;
    /// The LED of most small boards with this chip.
    pub const LED: &str = "8 inverted";
    /// Where the serial console's bytes come in, with a USB bridge on the board.
    pub type Rx = esp_hal::peripherals::GPIO20<'static>;

    /// Has the chip reset itself when its supply sags, at the threshold that it has from its maker.
    pub fn reset_on_brown_out() {
        esp_hal::peripherals::LPWR::regs().brown_out().modify(|_, w| {
            w.brown_out_ena().set_bit();
            // The whole chip, pins included.
            w.brown_out_rst_sel().set_bit();
            w.brown_out_rst_ena().set_bit()
        });
    }
}

#[cfg(feature = "esp32c6")]
mod c6 {
    use super::Chip;

    /// This chip.
    pub const CHIP: Chip = wsdm_device_board::ESP32C6;
    /// The LED of most small boards with this chip.
    pub const LED: &str = "15 inverted";
    /// Where the serial console's bytes come in, with a USB bridge on the board.
    pub type Rx = esp_hal::peripherals::GPIO17<'static>;

    /// Has the chip reset itself when its supply sags, at the threshold that it has from its maker.
    pub fn reset_on_brown_out() {
        esp_hal::peripherals::LP_ANA::regs()
            .bod_mode0_cntl()
            .modify(|_, w| {
                // The whole chip, pins included.
                w.bod_mode0_reset_sel().set_bit();
                w.bod_mode0_reset_ena().set_bit()
            });
    }
}
