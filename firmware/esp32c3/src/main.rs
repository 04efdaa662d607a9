//! A device of the Websocket Device Manager on an ESP32-C3. What it does is in `wsdm-device-esp32`.
#![no_std]
#![no_main]

use embassy_executor::Spawner;

esp_bootloader_esp_idf::esp_app_desc!();

#[esp_rtos::main]
async fn main(spawner: Spawner) -> ! {
    wsdm_device_esp32::run(spawner).await
}
