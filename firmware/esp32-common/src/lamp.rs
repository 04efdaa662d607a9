//! The status LED, and the hardware's own watchdog: both live as long as tasks get their turn.

use embassy_time::{Duration, Ticker};
use esp_hal::gpio::Level;
use esp_hal::peripherals::TIMG0;
use esp_hal::timer::timg::{MwdtStage, Wdt};
use esp_println::println;
use wsdm_device::{Clock, EmbassyClock};
use wsdm_device_board::Settings;

use crate::{Shared, pins};

/// What the shortest flash lasts, halved.
const STEP: Duration = Duration::from_millis(50);
/// Firmware that hangs cannot stop its outputs, so the chip is reset. Erasing flash takes some 0.4 s at worst.
const HANGS_AFTER: esp_hal::time::Duration = esp_hal::time::Duration::from_secs(2);

/// Blinks, for ever.
#[embassy_executor::task]
pub async fn task(settings: &'static Settings, status: Shared, mut watchdog: Wdt<TIMG0<'static>>) -> ! {
    let led = settings.led().filter(|led| {
        let is_free = !settings.outputs().uses(led.pin)
            && settings.battery() != Some(led.pin)
            && settings.button().is_none_or(|button| button.pin != led.pin);
        if !is_free {
            println!("no status LED: something else has its pin {}", led.pin);
        }
        is_free
    });
    let mut pin = led.map(|led| (pins::lamp(led), led.inverted));
    watchdog.set_timeout(MwdtStage::Stage0, HANGS_AFTER);
    watchdog.enable();
    let mut ticker = Ticker::every(STEP);
    loop {
        watchdog.feed();
        if let Some((pin, inverted)) = &mut pin {
            let is_lit = status.borrow().is_lit(EmbassyClock.now());
            pin.set_level(Level::from(is_lit != *inverted));
        }
        ticker.next().await;
    }
}
