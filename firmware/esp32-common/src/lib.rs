//! A device of the Websocket Device Manager on an ESP32 with RISC-V.
//!
//! What a device is stands in the core, what a board is in `wsdm-device-board`; here they meet a chip. [`run`] is all
//! that a chip's binary calls.
//!
//! ```text
//!   pins low ─> flash ─> settings ─> pins low ─> console, LED, hardware watchdog ─> link: Wi-Fi or BLE ─> core ─> PWM
//! ```
#![no_std]

#[cfg(all(feature = "wifi", feature = "ble"))]
compile_error!("one link at a time: --no-default-features --features ble");
#[cfg(not(any(feature = "wifi", feature = "ble")))]
compile_error!("which link? --features wifi or --features ble");

#[cfg(feature = "ble")]
mod ble;
mod built_in;
mod chip;
mod console;
mod failure;
mod flash;
mod lamp;
#[cfg(feature = "wifi")]
mod lookup;
mod pins;
mod sense;
#[cfg(feature = "wifi")]
mod station;
#[cfg(feature = "wifi")]
mod updates;
#[cfg(feature = "wifi")]
mod wifi;

use core::cell::RefCell;

use embassy_executor::Spawner;
use esp_hal::clock::CpuClock;
use esp_hal::efuse;
use esp_hal::timer::timg::TimerGroup;
use esp_println::println;
use static_cell::StaticCell;
use wsdm_device::{
    Clock, Device, EmbassyClock, Ended, Lovense, LovenseSettings, Quiet, Report, Tcode, TcodeSettings,
    WithButton,
};
use wsdm_device_board::ota::{Slots, Start, Trial};
use wsdm_device_board::{Console, Language, Limited, Settings, Status};

#[cfg(feature = "ble")]
use ble as link;
#[cfg(feature = "wifi")]
use wifi as link;

/// For the radio's driver, which is the only one that allocates: memory that the boot loader had, and some more.
const HEAP_RECLAIMED_BYTES: usize = 64 * 1024;
const HEAP_BYTES: usize = 36 * 1024;

/// What the LED shows; only one executor, and nothing that interrupts it, looks at it.
type Shared = &'static RefCell<Status>;

/// Is a device, until the power goes.
pub async fn run(spawner: Spawner) -> ! {
    let peripherals = esp_hal::init(esp_hal::Config::default().with_cpu_clock(CpuClock::max()));
    let built_in = built_in::settings();
    // Before anything takes its time or fails. Until here the pins float, as from the moment the power came.
    pins::hold_low(built_in.settings.outputs());
    let (found, images) = flash::open(peripherals.FLASH, &built_in.settings);
    pins::hold_low(found.settings.outputs());
    chip::reset_on_brown_out();
    println!(
        "\nwsdm-device {} on {}",
        env!("CARGO_PKG_VERSION"),
        chip::CHIP.name
    );
    let reset = chip::reset();
    println!("started by {reset}");
    built_in.complain();
    println!("settings: {}", found.origin);
    let is_saved = found.origin.is_saved();
    let obeys = found.origin.may_obey(built_in.is_complete());
    if !obeys && found.origin.may_obey(true) {
        println!(
            "no gateway is obeyed until settings are saved: look at show, set what is left out, save, restart"
        );
    }
    let wants_updates = found.settings.ota_password().is_some();
    let slots = runs(images, obeys, wants_updates);

    esp_alloc::heap_allocator!(#[esp_hal::ram(reclaimed)] size: HEAP_RECLAIMED_BYTES);
    esp_alloc::heap_allocator!(size: HEAP_BYTES);
    let timers = TimerGroup::new(peripherals.TIMG0);
    esp_rtos::start(timers.timer0, peripherals.FROM_CPU_INTR0);

    static BUILT_IN: StaticCell<Settings> = StaticCell::new();
    static SETTINGS: StaticCell<Settings> = StaticCell::new();
    static ADDRESS: StaticCell<wsdm_device_board::Address> = StaticCell::new();
    static NAME: StaticCell<wsdm_device_board::BleName> = StaticCell::new();
    static STATUS: StaticCell<RefCell<Status>> = StaticCell::new();
    static QUIET: StaticCell<Quiet> = StaticCell::new();
    static TRIAL: StaticCell<Trial> = StaticCell::new();
    let settings: &'static Settings = SETTINGS.init(found.settings);
    let address: &'static str = ADDRESS.init(wsdm_device_board::address(mac()));
    let name: &'static str = NAME.init(wsdm_device_board::ble_name(mac()));
    let status: Shared = STATUS.init(RefCell::new(Status::new()));
    let quiet: &'static Quiet = QUIET.init(Quiet::new());
    let trial: &'static Trial = TRIAL.init(Trial::new());

    let serial = console::Serial::new(peripherals.USB_DEVICE, peripherals.UART0);
    let built_in = BUILT_IN.init(built_in.settings);
    let mut console = Console::new(settings.clone(), built_in, &chip::CHIP, address);
    if !obeys {
        status.borrow_mut().unset();
        console = console.obeying_nobody();
    }
    #[cfg(feature = "wifi")]
    let (link, radio) = if obeys {
        let (link, radio) = link::Link::new(spawner, peripherals.WIFI, settings, slots);
        (Some(link), radio)
    } else {
        (None, None)
    };
    #[cfg(feature = "ble")]
    drop(slots);
    #[cfg(feature = "ble")]
    let (link, radio) = (obeys.then(|| link::Link::new(peripherals.BT)), None);
    let version = env!("CARGO_PKG_VERSION");
    let terminal = console::Terminal::new(console, found.store, radio, quiet, name, version);
    // There is room for one of each, and each is spawned once.
    spawner.spawn(console::task(terminal, serial).expect("room for the task"));
    spawner.spawn(lamp::task(settings, status, timers.wdt).expect("room for the task"));

    if let Some(pin) = settings.battery() {
        spawner.spawn(sense::task(peripherals.ADC1, pin).expect("room for the task"));
    }

    let Some(link) = link else {
        // The console still works, the outputs stay low.
        core::future::pending().await
    };
    for idle in settings.idle_limits() {
        println!("{idle}");
    }
    let outputs = Limited::new(
        pins::Pwm::new(peripherals.LEDC, settings.outputs()),
        settings.limits().clone(),
    );
    let board = Board {
        settings,
        address,
        reset,
        status,
        quiet,
        trial,
        is_saved,
    };
    match settings.language() {
        Language::Lovense => {
            let motors = settings.outputs().motors();
            for unused in settings
                .outputs()
                .iter()
                .filter(|output| !motors.uses(output.channel))
            {
                println!(
                    "{} on pin {} moves nothing: a lovense device has V0, V1, V2, and R0 with two pins",
                    unused.channel, unused.pin
                );
            }
            let lovense = LovenseSettings {
                motors,
                address,
                // Unless it is measured.
                battery: 100,
            };
            board.obey(link, Lovense::new(&lovense, outputs)).await
        }
        Language::Tcode => {
            if settings.outputs().iter().any(|output| output.reverse.is_some()) {
                println!("R0 with two pins moves nothing: TCode has no motors that turn on and on");
            }
            let axes = settings.outputs().axes();
            let tcode = TcodeSettings {
                axes: &axes,
                ..TcodeSettings::DEFAULT
            };
            board.obey(link, Tcode::new(&tcode, outputs)).await
        }
    }
}

/// Says what the image that runs is, and goes back to the one before it if that has to be.
fn runs(images: Option<flash::Images>, obeys: bool, wants_updates: bool) -> Option<Slots<flash::Flash>> {
    let Some(images) = images else {
        if wants_updates {
            println!(
                "update: none is taken: the flash has room for one image, as flashed before; flash it by cable once"
            );
        }
        return None;
    };
    match images {
        Ok((slots, start)) => {
            match start {
                Start::Kept => {}
                Start::OnTrial if !obeys => {
                    println!("update: this image cannot use the settings; back to the one before it");
                    restart();
                }
                Start::OnTrial => println!("update: this image is on trial until it has reached the gateway"),
                Start::Unusable => {
                    println!("update: the new image does not start; this is the one before it")
                }
                Start::GoBack => {
                    println!("update: this image never reached the gateway; back to the one before it");
                    restart();
                }
            }
            Some(slots)
        }
        Err(e) => {
            println!("update: none is taken: {e}");
            None
        }
    }
}

/// Outputs off, and anew.
fn restart() -> ! {
    pins::all_low();
    esp_hal::system::software_reset()
}

/// What every link needs of the board.
#[derive(Clone, Copy)]
struct Board {
    settings: &'static Settings,
    address: &'static str,
    /// Why the chip started.
    reset: &'static str,
    status: Shared,
    /// Outputs are off while somebody needs the flash or the radio.
    quiet: &'static Quiet,
    /// What an image on trial has to pass.
    trial: &'static Trial,
    /// Its settings are kept in the flash.
    is_saved: bool,
}

impl Board {
    /// Tells the console and the LED.
    fn report(self, now: u64, report: &Report<'_>) {
        self.status.borrow_mut().report(now, report);
        self.trial.report(now, report);
        println!("at {now} ms: {report}");
    }

    /// Says something that the core does not know.
    fn say(self, text: core::fmt::Arguments<'_>) {
        println!("at {} ms: {text}", EmbassyClock.now());
    }

    async fn obey<D: Device>(self, link: link::Link, device: D) -> ! {
        let is_pressed = sense::button(self.settings.button());
        let report = |now, report: &Report<'_>| self.report(now, report);
        let mut device = WithButton::new(device, is_pressed, report);
        let Ended::PoweredOff = link.run(self, &mut device).await;
        self.say(format_args!("off until a reset, or restart on the console"));
        core::future::pending().await
    }
}

/// The chip's own MAC address.
fn mac() -> [u8; 6] {
    efuse::base_mac_address()
        .as_bytes()
        .try_into()
        .unwrap_or_default()
}
