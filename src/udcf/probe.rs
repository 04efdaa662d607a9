//! What the server's protocols carry out, found by trying: the library lists neither which outputs a protocol implements
//! nor which names it takes.
//!
//! A trial starts the protocol on hardware that accepts everything and answers nothing, as far as that goes without
//! waiting, and gives it one command of each kind.

use std::cell::Cell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};

use buttplug_core::errors::ButtplugDeviceError;
use buttplug_core::message::{OutputCommand, OutputHwPositionWithDuration, OutputType, OutputValue};
use buttplug_server::device::hardware::{
    Hardware, HardwareEvent, HardwareInternal, HardwareReadCmd, HardwareReading, HardwareSubscribeCmd,
    HardwareUnsubscribeCmd, HardwareWriteCmd,
};
use buttplug_server::device::protocol::{ProtocolHandler, ProtocolManager};
use buttplug_server::message::checked_output_cmd::CheckedOutputCmdV4;
use buttplug_server_device_config::{
    Endpoint, ProtocolCommunicationSpecifier, ServerDeviceDefinition, WebsocketSpecifier,
};
use futures::FutureExt;
use futures::future::{self, BoxFuture};
use tokio::sync::broadcast;

use crate::text::panic_text;

/// What the library panics with in a debug build, for a command that a protocol does not implement.
const NOT_IMPLEMENTED: &str = "Command not implemented for this protocol";
/// The level of the trial's commands: some protocols send nothing for 0.
const LEVEL: i32 = 1;
/// The duration of its movement, in ms.
const DURATION: u32 = 100;

/// A device to try.
pub(super) struct Trial<'a> {
    /// Its protocol.
    pub(super) protocol: &'a str,
    /// The identifier that it connects with.
    pub(super) name: &'a str,
    /// Its definition.
    pub(super) definition: &'a ServerDeviceDefinition,
}

/// The result of a trial. A protocol that first asks the device something is not started: then nothing is known.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The protocol takes the name that the device gives for its model.
    pub(super) goes_by_name: bool,
    /// The protocol does not start on a device of this name.
    pub(super) refused: bool,
    /// The outputs that it writes something for.
    pub(super) possible: Vec<OutputType>,
    /// The outputs that it does not implement.
    pub(super) impossible: Vec<OutputType>,
}

/// Tries devices, and returns an outcome for each. Nothing is known about any if no thread can be started.
pub(super) fn try_all(trials: &[Trial<'_>]) -> Vec<Outcome> {
    let unknown = || trials.iter().map(|_| Outcome::default()).collect();
    if trials.is_empty() {
        return unknown();
    }
    silence_panics();
    // Protocols start tasks and timers, which need a runtime; the caller may be on one of its own.
    let outcomes = std::thread::scope(|scope| {
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build();
            let runtime = runtime.ok()?;
            let _entered = runtime.enter();
            IS_TRIAL.set(true);
            let manager = ProtocolManager::default();
            Some(trials.iter().map(|trial| trial.run(&manager)).collect())
        };
        let thread = std::thread::Builder::new().name("trial".to_owned());
        thread.spawn_scoped(scope, run).ok()?.join().ok()?
    });
    outcomes.unwrap_or_else(unknown)
}

impl Trial<'_> {
    fn run(&self, manager: &ProtocolManager) -> Outcome {
        let mut outcome = Outcome::default();
        let started = catch_unwind(AssertUnwindSafe(|| self.start(manager, &mut outcome)));
        if let Ok(Some(handler)) = started {
            for command in commands() {
                self.command(&*handler, command, &mut outcome);
            }
        }
        outcome
    }

    /// The protocol's handler, if it starts without an answer from the device.
    fn start(&self, manager: &ProtocolManager, outcome: &mut Outcome) -> Option<Arc<dyn ProtocolHandler>> {
        let specifier = ProtocolCommunicationSpecifier::Websocket(WebsocketSpecifier::new(self.name));
        let only_this = HashMap::from([(self.protocol.to_owned(), vec![specifier.clone()])]);
        let mut specializers = manager.protocol_specializers(&specifier, &only_this, &Default::default());
        let hardware = Arc::new(Hardware::new(
            self.name,
            "trial",
            &[Endpoint::Rx, Endpoint::Tx],
            &None,
            false,
            Box::new(Mute(broadcast::Sender::new(1))),
        ));
        let mut identifier = specializers.pop()?.identify();
        let identified = identifier.identify(hardware.clone(), specifier).now_or_never()?;
        let (identified, mut initializer) = identified.ok()?;
        outcome.goes_by_name = identified.identifier().as_deref() == Some(self.name);
        match initializer.initialize(hardware, self.definition).now_or_never()? {
            Ok(handler) => Some(handler),
            Err(ButtplugDeviceError::ProtocolNotImplemented(_)) => {
                outcome.refused = true;
                None
            }
            Err(_) => None,
        }
    }

    fn command(&self, handler: &dyn ProtocolHandler, command: OutputCommand, outcome: &mut Outcome) {
        let kind = command.as_output_type();
        let features = self.definition.features();
        let has_it = |f: &&buttplug_server_device_config::ServerDeviceFeature| {
            f.output.iter().any(|output| output.output_type() == kind)
        };
        let feature = features.values().find(has_it).or(features.values().next());
        let (index, id) = feature.map_or((0, uuid::Uuid::nil()), |f| (f.index(), f.id()));
        let command = CheckedOutputCmdV4::new(1, 0, index, id, command);
        let carry_out = AssertUnwindSafe(|| handler.handle_output_cmd(&command));
        match catch_unwind(carry_out) {
            Ok(Ok(writes)) if !writes.is_empty() => outcome.possible.push(kind),
            Ok(Err(ButtplugDeviceError::UnhandledCommand(_))) => outcome.impossible.push(kind),
            Err(panic) if panic_text(&*panic).is_some_and(|text| text.contains(NOT_IMPLEMENTED)) => {
                outcome.impossible.push(kind);
            }
            // It may want another feature, or another level.
            Ok(_) | Err(_) => {}
        }
    }
}

/// One command for each kind of output.
fn commands() -> [OutputCommand; 9] {
    let level = OutputValue::new(LEVEL);
    [
        OutputCommand::Vibrate(level),
        OutputCommand::Rotate(level),
        OutputCommand::Oscillate(level),
        OutputCommand::Constrict(level),
        OutputCommand::Spray(level),
        OutputCommand::Temperature(level),
        OutputCommand::Led(level),
        OutputCommand::Position(level),
        OutputCommand::HwPositionWithDuration(OutputHwPositionWithDuration::new(
            LEVEL.unsigned_abs(),
            DURATION,
        )),
    ]
}

thread_local! {
    static IS_TRIAL: Cell<bool> = const { Cell::new(false) };
}

/// Keeps panics of trials out of the log: in a debug build, the library panics for each command that it lacks.
fn silence_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !IS_TRIAL.get() {
                before(panic);
            }
        }));
    });
}

/// Hardware that accepts everything and answers nothing.
struct Mute(broadcast::Sender<HardwareEvent>);

impl HardwareInternal for Mute {
    fn disconnect(&self) -> BoxFuture<'static, Result<(), ButtplugDeviceError>> {
        future::ready(Ok(())).boxed()
    }

    fn event_stream(&self) -> broadcast::Receiver<HardwareEvent> {
        self.0.subscribe()
    }

    fn read_value(
        &self,
        _: &HardwareReadCmd,
    ) -> BoxFuture<'static, Result<HardwareReading, ButtplugDeviceError>> {
        future::pending().boxed()
    }

    fn write_value(&self, _: &HardwareWriteCmd) -> BoxFuture<'static, Result<(), ButtplugDeviceError>> {
        future::ready(Ok(())).boxed()
    }

    fn subscribe(&self, _: &HardwareSubscribeCmd) -> BoxFuture<'static, Result<(), ButtplugDeviceError>> {
        future::ready(Ok(())).boxed()
    }

    fn unsubscribe(&self, _: &HardwareUnsubscribeCmd) -> BoxFuture<'static, Result<(), ButtplugDeviceError>> {
        future::ready(Ok(())).boxed()
    }
}

#[cfg(test)]
mod tests {
    use buttplug_server_device_config::BaseDeviceIdentifier;

    use super::*;
    use crate::udcf::BASE;

    fn outcome(protocol: &str, model: Option<&str>, name: &str) -> Outcome {
        let id = BaseDeviceIdentifier::new(protocol, &model.map(str::to_owned));
        let definition = &BASE.base_device_definitions()[&id];
        let trial = Trial {
            protocol,
            name,
            definition,
        };
        try_all(&[trial]).remove(0)
    }

    #[test]
    fn a_protocol_is_tried_without_a_device() {
        let tcode = outcome("tcode-v03", None, "TCodeDevice");
        assert!(tcode.goes_by_name && !tcode.refused);
        assert_eq!(
            tcode.possible,
            [
                OutputType::Vibrate,
                OutputType::Position,
                OutputType::HwPositionWithDuration
            ]
        );
        assert_eq!(tcode.impossible.len(), 6, "{tcode:?}");
        // It asks the device for its model first.
        let lovense = outcome("lovense", None, "LVSDevice");
        assert!(lovense.possible.is_empty() && lovense.impossible.is_empty());
        assert!(outcome("vorze-sa", Some("UFOSA"), "Mine").refused);
        assert!(!outcome("vorze-sa", Some("UFOSA"), "UFOSA").refused);
    }

    /// An output that is listed for a model of the server's own and is not implemented would be a fault of the trial, or
    /// of the library.
    #[test]
    fn no_protocol_lacks_what_its_own_models_have() {
        let definitions = BASE.base_device_definitions();
        let trials: Vec<Trial<'_>> = definitions
            .iter()
            .filter_map(|(id, definition)| {
                Some(Trial {
                    protocol: id.protocol(),
                    name: id.identifier().as_deref()?,
                    definition,
                })
            })
            .collect();
        let mut known = 0;
        let mut lacking = std::collections::BTreeSet::new();
        for (trial, outcome) in trials.iter().zip(try_all(&trials)) {
            known += usize::from(!outcome.possible.is_empty());
            let features = trial.definition.features().values();
            for output in features.flat_map(|feature| feature.output.iter()) {
                if outcome.impossible.contains(&output.output_type()) {
                    lacking.insert(format!("{} {}", trial.protocol, output.output_type()));
                }
            }
        }
        assert!(
            known > trials.len() / 3,
            "{known} of {} models start",
            trials.len()
        );
        // The library's own faults: models with an output that their protocol does not implement.
        let known_faults = [
            "galaku Rotate",
            "magic-motion-2 Oscillate",
            "sexverse-v3 Oscillate",
        ];
        assert_eq!(Vec::from_iter(lacking), known_faults);
    }
}
