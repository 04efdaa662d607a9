//! What differs from chip to chip.

use wsdm_device_board::Chip;

/// A pin's type is known when this is compiled, its number when the board starts.
macro_rules! analogue_of {
    ($number:expr, $measure:ident, $adc:expr, $($known:literal $pin:ident),*) => {
        match $number {
            $($known => {
                // SAFETY: the settings took this number, so the chip has it, and nothing else that they name has it.
                $measure($adc, unsafe { esp_hal::peripherals::$pin::steal() }).await
            })*
            _ => core::future::pending().await,
        }
    };
}
pub(crate) use analogue_of;

/// Why the chip started, in a few words.
pub fn reset() -> &'static str {
    use esp_hal::rtc_cntl::SocResetReason as Reason;
    match esp_hal::system::reset_reason() {
        Some(Reason::ChipPowerOn) => "power on",
        Some(Reason::SysBrownOut) => "brown-out: the supply sagged",
        Some(Reason::CoreMwdt0 | Reason::CoreMwdt1 | Reason::Cpu0Mwdt0 | Reason::Cpu0Mwdt1) => {
            "hardware watchdog: the firmware hung"
        }
        Some(Reason::CoreRtcWdt | Reason::Cpu0RtcWdt | Reason::SysRtcWdt | Reason::SysSuperWdt) => {
            "the chip's own watchdog"
        }
        Some(Reason::CoreSw | Reason::Cpu0Sw) => "itself: restart on the console, or a panic",
        Some(Reason::CoreUsbUart | Reason::CoreUsbJtag) => "USB",
        Some(_) => "something rare",
        None => "nobody knows what",
    }
}

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

    /// Calls `$measure` with the analogue pin of this number; with none, if the chip has none there.
    macro_rules! with_analogue {
        ($number:expr, $measure:ident, $adc:expr) => {
            crate::chip::analogue_of!($number, $measure, $adc, 0 GPIO0, 1 GPIO1, 2 GPIO2, 3 GPIO3, 4 GPIO4)
        };
    }
    pub(crate) use with_analogue;

    /// Has the chip reset itself when its supply sags, at the threshold that it has from its maker.
    pub fn reset_on_brown_out() {
        esp_hal::peripherals::LPWR::regs().brown_out().modify(|_, w| {
            w.brown_out_ena().set_bit();
            // The digital system with its pins; the reason for it is kept.
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

    /// Calls `$measure` with the analogue pin of this number; with none, if the chip has none there.
    macro_rules! with_analogue {
        ($number:expr, $measure:ident, $adc:expr) => {
            crate::chip::analogue_of!(
                $number, $measure, $adc, 0 GPIO0, 1 GPIO1, 2 GPIO2, 3 GPIO3, 4 GPIO4, 5 GPIO5, 6 GPIO6
            )
        };
    }
    pub(crate) use with_analogue;

    /// Has the chip reset itself when its supply sags, at the threshold that it has from its maker.
    pub fn reset_on_brown_out() {
        esp_hal::peripherals::LP_ANA::regs()
            .bod_mode0_cntl()
            .modify(|_, w| {
                // By its name an interrupt's, this is the bit that switches the detector on.
                w.bod_mode0_intr_ena().set_bit();
                // The digital system with its pins; the reason for it is kept.
                w.bod_mode0_reset_sel().set_bit();
                w.bod_mode0_reset_ena().set_bit()
            });
    }
}
