//! Live view on a terminal: a bar for each actuator, with events above the bars.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::connection::EventKind;
use super::{Actuator, DeviceOptions, Event, Firmware, show};

/// How often bars are redrawn. Faster updates are not visible.
pub const REFRESH_HZ: u8 = 20;
/// Steps of a bar; finer than the columns of any terminal.
const BAR_STEPS: u64 = 1_000;
/// Rows that stay free for events.
const FREE_ROWS: usize = 6;

/// The bars of all devices.
pub struct Live {
    all: MultiProgress,
    devices: Vec<Device>,
    epoch: Instant,
    rows: usize,
}

struct Device {
    options: DeviceOptions,
    actuators: Vec<Actuator>,
    bars: Vec<ProgressBar>,
}

impl Live {
    /// Creates bars for these devices, as many as the terminal has room for.
    pub fn new(devices: &[DeviceOptions], epoch: Instant) -> Self {
        let target = ProgressDrawTarget::stdout_with_hz(REFRESH_HZ);
        let rows = usize::from(console::Term::stdout().size().0)
            .saturating_sub(FREE_ROWS)
            .max(1);
        let mut live = Self {
            all: MultiProgress::with_draw_target(target),
            devices: Vec::new(),
            epoch,
            rows,
        };
        for options in devices {
            let actuators = Firmware::new(options).actuators().to_vec();
            let mut device = Device {
                options: options.clone(),
                actuators: Vec::new(),
                bars: Vec::new(),
            };
            for actuator in actuators {
                live.add(&mut device, actuator);
            }
            live.devices.push(device);
        }
        let hidden = live
            .devices
            .iter()
            .filter(|d| !d.actuators.is_empty() && d.bars.is_empty())
            .count();
        if hidden > 0 {
            live.print(&format!(
                "{hidden} devices have no bar: the terminal has too few rows"
            ));
        }
        live
    }

    fn add(&mut self, device: &mut Device, actuator: Actuator) {
        if self.rows > 0 {
            self.rows -= 1;
            let bar = self.all.add(ProgressBar::new(BAR_STEPS));
            let style = ProgressStyle::with_template("{prefix:<28.28} {bar:30} {msg}")
                .expect("a template that is a literal")
                .progress_chars("█▌·");
            bar.set_style(style);
            bar.set_prefix(format!("{} {}", device.options.address, actuator.name));
            device.bars.push(bar);
        }
        device.actuators.push(actuator);
    }

    /// Shows an event.
    pub fn event(&mut self, event: &Event) {
        let Some(mut device) = (event.device < self.devices.len()).then(|| self.devices.remove(event.device))
        else {
            return;
        };
        if let Some(line) = show::line(&device.options, event) {
            self.print(&line);
        }
        if let EventKind::Frame { changes, .. } | EventKind::Stopped(changes) = &event.kind {
            for change in changes {
                if change.index < device.actuators.len() {
                    device.actuators[change.index] = change.actuator;
                } else {
                    self.add(&mut device, change.actuator);
                }
            }
        }
        self.devices.insert(event.device, device);
    }

    fn print(&self, line: &str) {
        for line in line.lines() {
            // If the terminal is gone there is nothing to print to.
            let _ = self.all.println(line);
        }
    }

    /// Updates the bars to the current values of the actuators.
    pub fn refresh(&self) {
        let now = self.epoch.elapsed();
        for device in &self.devices {
            for (bar, actuator) in device.bars.iter().zip(&device.actuators) {
                bar.set_position((actuator.value_at(now) * BAR_STEPS as f64).round() as u64);
                let text = actuator.text_at(now);
                if bar.message() != text {
                    bar.set_message(text);
                }
            }
        }
    }

    /// The interval between refreshes.
    pub fn period() -> Duration {
        Duration::from_millis(1_000 / u64::from(REFRESH_HZ))
    }
}
