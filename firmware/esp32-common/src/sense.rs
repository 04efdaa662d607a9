//! What the board senses: its stop button, and its battery.

use core::sync::atomic::{AtomicU8, Ordering};

use embassy_time::{Duration, Timer};
use esp_hal::analog::adc::{Adc, AdcCalCurve, AdcChannel, AdcConfig, Attenuation};
use esp_hal::gpio::{AnalogPin, Input, InputConfig, Pull};
use esp_hal::peripherals::ADC1;
use wsdm_device_board::{Button, charge};

use crate::{chip, pins};

/// Nothing was measured yet, or nothing is.
const UNKNOWN: u8 = u8::MAX;
const EVERY: Duration = Duration::from_secs(5);
/// While a measurement takes its time.
const SOON: Duration = Duration::from_millis(1);
/// A motor that starts pulls the voltage down for a moment: the mean of so many is what counts.
const MEAN_OF: u32 = 16;

static CHARGE: AtomicU8 = AtomicU8::new(UNKNOWN);

/// The charge of the battery in percent, where it is measured.
pub fn battery() -> Option<u8> {
    Some(CHARGE.load(Ordering::Relaxed)).filter(|charge| *charge != UNKNOWN)
}

/// Measures the battery, for ever.
#[embassy_executor::task]
pub async fn task(adc: ADC1<'static>, pin: u8) -> ! {
    chip::with_analogue!(pin, measure, adc)
}

async fn measure<P: AdcChannel + AnalogPin>(adc: ADC1<'static>, pin: P) -> ! {
    let mut config = AdcConfig::new();
    let mut pin = config.enable_pin_with_cal::<P, AdcCalCurve<ADC1<'static>>>(pin, Attenuation::_11dB);
    let mut adc = Adc::new(adc, config);
    loop {
        let mut sum = 0;
        for _ in 0..MEAN_OF {
            let millivolts = loop {
                match adc.read_oneshot(&mut pin) {
                    Ok(millivolts) => break millivolts,
                    Err(_) => Timer::after(SOON).await,
                }
            };
            sum += u32::from(millivolts);
            Timer::after(SOON).await;
        }
        CHARGE.store(charge(sum / MEAN_OF), Ordering::Relaxed);
        Timer::after(EVERY).await;
    }
}

/// What tells whether the stop button is pressed.
pub fn button(button: Option<Button>) -> impl FnMut() -> bool {
    let pin = button.map(|button| {
        let input = Input::new(
            pins::input(button.pin),
            InputConfig::default().with_pull(Pull::Up),
        );
        (input, button)
    });
    move || {
        pin.as_ref()
            .is_some_and(|(input, button)| button.is_pressed(input.is_high()))
    }
}
