//! The device core on QEMU's `virt` machine, with the instruction set of an ESP32-C3 and a network card.
//!
//! This is what the tests run instead of a board: nothing of the core knows where it is. Pins are lines on the serial
//! port, and settings come from the command line of QEMU, so that one image serves every test:
//!
//! ```text
//! qemu-system-riscv32 -M virt -cpu lowrisc-ibex -m 16M -bios none -display none -serial stdio \
//!     -netdev user,id=n0 -device virtio-net-device,netdev=n0 -device virtio-rng-device \
//!     -kernel IMAGE -append 'url=ws://10.0.2.2:54817 device=tcode'
//! ```
#![no_std]
#![no_main]

mod clock;
mod device_tree;
mod dma;
mod machine;
mod network;
mod random;
mod settings;
mod uart;

use core::cell::RefCell;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use embassy_executor::{Spawner, raw};
use embassy_net::{Config, Runner, Stack, StackResources};
use riscv::interrupt::Interrupt;
use static_cell::StaticCell;
use wsdm_device::{
    Channel, Client, Clock, Device, EmbassyClock, Level, Lovense, LovenseSettings, Memory, Motors, NetDial,
    Outputs, Report, Tcode, TcodeSettings, Timing, TlsDial,
};

use network::{Card, Shared};
use random::Random;
use settings::{Language, Settings};
use uart::println;

/// DHCP, DNS and the gateway.
const SOCKETS: usize = 3;

/// A task can go on.
static WOKEN: AtomicBool = AtomicBool::new(false);

/// Called by the executor when a task can go on.
// SAFETY: the executor's documentation gives this name and this signature, and nothing else has the name.
#[unsafe(export_name = "__pender")]
fn pender(_: *mut ()) {
    WOKEN.store(true, Ordering::SeqCst);
}

/// A pin is a line on the serial port.
struct Pins;

impl Outputs for Pins {
    fn set(&mut self, channel: Channel, level: Level) {
        println!("pin {channel} {level} at {} ms", EmbassyClock.now());
    }
}

#[embassy_executor::task]
async fn network_task(mut runner: Runner<'static, &'static Shared>) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn device_task(stack: Stack<'static>, settings: &'static Settings<'static>, random: Random) {
    match settings.language {
        Language::Lovense => {
            let lovense = LovenseSettings {
                motors: Motors::Two,
                address: settings.identity.address(),
                battery: 85,
            };
            run(stack, settings, random, Lovense::new(&lovense, Pins)).await;
        }
        Language::Tcode => run(stack, settings, random, Tcode::new(&TcodeSettings::DEFAULT, Pins)).await,
    }
    machine::power_off();
}

async fn run<D: Device>(stack: Stack<'static>, settings: &Settings<'static>, random: Random, mut device: D) {
    let random = RefCell::new(random);
    let number = || random.borrow_mut().next();
    let mut client = Client {
        gateway: settings.gateway,
        identity: settings.identity,
        timing: Timing {
            silence: settings.silence_ms,
            ..Timing::DEFAULT
        },
        dial: TlsDial::new(NetDial::<2048>::new(stack), number, settings.fingerprint),
        clock: EmbassyClock,
        random: number,
        report: |now, report: &Report<'_>| println!("at {now} ms: {report}"),
    };
    client.run(&mut Memory::<2048, 1024>::new(), &mut device).await;
}

#[riscv_rt::entry]
fn main(_hart: usize, tree: usize) -> ! {
    println!("at {} ms: started", EmbassyClock.now());
    // SAFETY: QEMU gives the device tree's address as the second argument, and nothing here writes there.
    let command_line = unsafe { device_tree::command_line(tree) };
    let settings = match settings::read(command_line.unwrap_or_default()) {
        Ok(settings) => settings,
        Err(e) => {
            println!("at {} ms: settings: {e}", EmbassyClock.now());
            machine::fail();
        }
    };
    let mut random = Random::find();
    let seed = u64::from(random.next()) << 32 | u64::from(random.next());
    let card = Card::find();
    let interrupt = card.interrupt();
    static CARD: StaticCell<Shared> = StaticCell::new();
    let card: &'static Shared = CARD.init(Shared(RefCell::new(card)));

    // They end a `wfi`, and that is all: no interrupt is ever taken, since they stay disabled as a whole.
    machine::enable(interrupt);
    // SAFETY: with interrupts disabled as a whole, enabling one breaks no critical section.
    unsafe {
        riscv::register::mie::enable(Interrupt::MachineTimer);
        riscv::register::mie::enable(Interrupt::MachineExternal);
    }

    static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();
    let resources = RESOURCES.init(StackResources::new());
    let (stack, runner) = embassy_net::new(card, Config::dhcpv4(Default::default()), resources, seed);

    static EXECUTOR: StaticCell<raw::Executor> = StaticCell::new();
    let executor: &'static raw::Executor = EXECUTOR.init(raw::Executor::new(core::ptr::null_mut()));
    spawn(executor.spawner(), stack, runner, settings, random);
    loop {
        WOKEN.store(false, Ordering::SeqCst);
        // SAFETY: the executor is initialised, and this is the only place that polls it: never from within itself.
        unsafe { executor.poll() };
        clock::wake_in_time();
        if !WOKEN.load(Ordering::SeqCst) {
            riscv::asm::wfi();
        }
        if let Some(interrupt) = machine::claim() {
            card.wake();
            machine::complete(interrupt);
        }
        clock::wake_in_time();
    }
}

fn spawn(
    spawner: Spawner,
    stack: Stack<'static>,
    runner: Runner<'static, &'static Shared>,
    settings: &'static Settings<'static>,
    random: Random,
) {
    // There is room for one of each, and each is spawned once.
    spawner.spawn(network_task(runner).expect("room for the task"));
    spawner.spawn(device_task(stack, settings, random).expect("room for the task"));
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    println!("panic: {info}");
    machine::fail();
}

/// Nothing should raise one. A test reads why.
// SAFETY: riscv-rt's documentation gives this name and this signature, and nothing else has the name.
#[unsafe(export_name = "ExceptionHandler")]
fn exception(_: &riscv_rt::TrapFrame) -> ! {
    let cause = riscv::register::mcause::read().bits();
    println!("exception {cause} at {:#x}", riscv::register::mepc::read());
    machine::fail();
}
