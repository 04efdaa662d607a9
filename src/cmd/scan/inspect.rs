//! One peripheral: what it has, what it holds, and what it says.

use std::time::SystemTime;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{FIND_TIMEOUT, ScanArgs, over, print};
use crate::cmd::error::Error;
use crate::device::peripheral::{PeripheralAddress, short};
use crate::ingress::ble::characteristics::properties;
use crate::ingress::ble::profile::{fitting_service, service_name};
use crate::ingress::ble::scan::{Inspected, Scanner};
use crate::text::{clock, hex, is_text, printable, safe_json};
use crate::web::view::seconds;

/// Connects, shows everything, and listens until it is told to stop.
pub(super) async fn inspect(
    scanner: Scanner,
    wanted: &PeripheralAddress,
    args: &ScanArgs,
) -> Result<(), Error> {
    let inspect = scanner.inspect(wanted, args.time.unwrap_or(FIND_TIMEOUT));
    let mut inspected = tokio::select! {
        inspected = inspect => inspected?,
        () = over(None) => return Ok(()),
    };
    let shown = tokio::select! {
        shown = show(&mut inspected, args.json) => shown,
        () = over(args.time) => Ok(()),
    };
    inspected.let_go().await;
    shown
}

async fn show(inspected: &mut Inspected, as_json: bool) -> Result<(), Error> {
    if inspected.seen.connected {
        eprintln!(
            "it is connected already, to a program on this machine, the gateway perhaps; it stays connected afterwards"
        );
    }
    if as_json {
        tree_json(inspected).await?;
    } else {
        tree(inspected).await?;
    }
    let told = inspected.listen().await?;
    for (uuid, subscribed) in &told {
        if let Err(problem) = subscribed {
            eprintln!("{} cannot be listened to: {problem}", short(*uuid));
        }
    }
    let listening = told.iter().filter(|(_, subscribed)| subscribed.is_ok()).count();
    if !as_json {
        print(&format!(
            "listening to {listening} of its characteristics; Ctrl-C ends\n"
        ))?;
    }
    loop {
        let (uuid, value) = inspected.next().await?;
        print(&notification(uuid, &value, as_json))?;
    }
}

fn notification(uuid: Uuid, value: &[u8], as_json: bool) -> String {
    let at = seconds(SystemTime::now());
    if as_json {
        let line = json!({
            "at": at,
            "event": "notification",
            "characteristic": uuid.to_string(),
            "hex": hex(value),
            "text": String::from_utf8_lossy(value),
        });
        return safe_json(&line) + "\n";
    }
    format!("{} {} <- {}\n", clock(at), short(uuid), value_text(value))
}

/// Text where it is text, and bytes.
fn value_text(value: &[u8]) -> String {
    if value.is_empty() {
        return "empty".to_owned();
    }
    if let [byte] = value {
        return format!("{byte:02x}  ({byte})");
    }
    if is_text(value) {
        return format!("{}  {:?}", spaced(value), String::from_utf8_lossy(value));
    }
    spaced(value)
}

fn spaced(value: &[u8]) -> String {
    let bytes: Vec<String> = value.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

async fn tree(inspected: &Inspected) -> Result<(), Error> {
    let seen = &inspected.seen;
    let name = seen.name.as_deref().map(|name| printable(name.as_bytes()));
    let name = name.map(|name| format!(" {name:?}")).unwrap_or_default();
    print(&format!("{}{name}, MTU {}\n", seen.address, inspected.mtu))?;
    for service in &inspected.services {
        let name = service_name(service.uuid).map(|name| format!(" {name}"));
        let fits = fitting_service(service.uuid);
        let fits = match fits.is_empty() {
            true => String::new(),
            false => format!("  (profile {})", fits.join(" or ")),
        };
        let name = name.unwrap_or_default();
        print(&format!("service {}{name}{fits}\n", short(service.uuid)))?;
        for characteristic in &service.characteristics {
            let value = match inspected.read(characteristic).await {
                None => String::new(),
                Some(Ok(value)) => format!("  = {}", value_text(&value)),
                Some(Err(problem)) => format!("  cannot be read: {problem}"),
            };
            let can = properties(characteristic).join(", ");
            print(&format!("  {}  {can}{value}\n", short(characteristic.uuid)))?;
        }
    }
    Ok(())
}

async fn tree_json(inspected: &Inspected) -> Result<(), Error> {
    let mut services = Vec::new();
    for service in &inspected.services {
        let mut characteristics: Vec<Value> = Vec::new();
        for characteristic in &service.characteristics {
            let (value, problem) = match inspected.read(characteristic).await {
                None => (None, None),
                Some(Ok(value)) => (Some(hex(&value)), None),
                Some(Err(problem)) => (None, Some(problem)),
            };
            characteristics.push(json!({
                "uuid": characteristic.uuid.to_string(),
                "properties": properties(characteristic),
                "hex": value,
                "problem": problem,
            }));
        }
        services.push(json!({
            "uuid": service.uuid.to_string(),
            "name": service_name(service.uuid),
            "profiles": fitting_service(service.uuid),
            "characteristics": characteristics,
        }));
    }
    let line = json!({
        "at": seconds(SystemTime::now()),
        "event": "connected",
        "address": inspected.seen.address,
        "name": inspected.seen.name,
        "mtu": inspected.mtu,
        "services": services,
    });
    print(&(safe_json(&line) + "\n"))
}
