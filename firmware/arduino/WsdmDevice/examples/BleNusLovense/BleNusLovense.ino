// A vibrator over Bluetooth Low Energy, on an ESP32 that has it (classic, S3, C3, C6): Nordic's serial service (NUS),
// with the BLE library that comes with the ESP32 core, 2.0.17 or newer. Apps see a Lovense Hush.

#include <BLE2902.h>
#include <BLEDevice.h>
#include <BLEServer.h>
#include <WsdmDevice.h>
#include <stdio.h>

#include <atomic>

// By chip; see WsdmPins.h, or put numbers here.
#define MOTOR_PIN WSDM_MOTOR_PIN
#define BUTTON_PIN WSDM_BUTTON_PIN

#define NUS_SERVICE "6E400001-B5A3-F393-E0A9-E50E24DCCA9E"
#define NUS_RECEIVE "6E400002-B5A3-F393-E0A9-E50E24DCCA9E"
#define NUS_TRANSMIT "6E400003-B5A3-F393-E0A9-E50E24DCCA9E"

// "wsdm-" and the last four digits of the chip's own address: two boards can be told apart, and the gateway's entry
// takes both with name = "wsdm-*".
static const char* name() {
  static char text[10];
  // The address's first byte is the lowest of the number.
  const uint64_t mac = ESP.getEfuseMac();
  const unsigned one = (mac >> 32) & 0xff, other = (mac >> 40) & 0xff;
  snprintf(text, sizeof(text), "wsdm-%02x%02x", one, other);
  return text;
}

// The service as a Stream. What is written waits for flush(), and leaves in notifications of 20 bytes, which fit
// every connection. Bytes are received on Bluetooth's task and read on the sketch's.
class Nus final : public Stream, public BLEServerCallbacks, public BLECharacteristicCallbacks {
 public:
  void begin() {
    BLEDevice::init(name());
    BLEServer* server = BLEDevice::createServer();
    server->setCallbacks(this);
    BLEService* service = server->createService(NUS_SERVICE);
    _transmit = service->createCharacteristic(NUS_TRANSMIT, BLECharacteristic::PROPERTY_NOTIFY);
    _transmit->addDescriptor(new BLE2902());
    BLECharacteristic* receive = service->createCharacteristic(
        NUS_RECEIVE, BLECharacteristic::PROPERTY_WRITE | BLECharacteristic::PROPERTY_WRITE_NR);
    receive->setCallbacks(this);
    service->start();
    server->getAdvertising()->addServiceUUID(NUS_SERVICE);
    server->getAdvertising()->start();
  }

  // Whether the other end has gone since this was asked last. What it sent before is forgotten then: nobody is there any
  // more who could end what it begins.
  bool hasGone() {
    if (!_gone.exchange(false)) return false;
    const uint32_t end = _goneAt;
    if (static_cast<int32_t>(end - _tail) > 0) _tail = end;
    return true;
  }

  using Print::write;
  size_t write(uint8_t byte) override {
    _out[_outLength++] = byte;
    if (_outLength == sizeof(_out)) flush();
    return 1;
  }
  void flush() override {
    if (_outLength > 0 && _connected) {
      _transmit->setValue(_out, _outLength);
      _transmit->notify();
    }
    _outLength = 0;
  }
  int available() override { return _head - _tail; }
  int read() override { return available() > 0 ? _in[_tail++ % sizeof(_in)] : -1; }
  int peek() override { return available() > 0 ? _in[_tail % sizeof(_in)] : -1; }

  void onConnect(BLEServer*) override { _connected = true; }
  void onDisconnect(BLEServer* server) override {
    _connected = false;
    _goneAt = _head.load();
    _gone = true;
    server->getAdvertising()->start();
  }
  void onWrite(BLECharacteristic* receive) override {
    const uint8_t* bytes = receive->getData();
    for (size_t i = 0; i < receive->getLength(); i++) {
      // What does not fit is lost, and the command that it was part of answered with ERR.
      if (_head - _tail == sizeof(_in)) return;
      _in[_head % sizeof(_in)] = bytes[i];
      _head = _head + 1;
    }
  }

 private:
  BLECharacteristic* _transmit = nullptr;
  std::atomic<bool> _connected{false};
  std::atomic<bool> _gone{false};
  // How far it had sent when it went.
  std::atomic<uint32_t> _goneAt{0};
  uint8_t _out[20];
  uint8_t _outLength = 0;
  uint8_t _in[256];
  // Counted on and on; atomic, so that a byte is there for the other core when its count is.
  std::atomic<uint32_t> _head{0}, _tail{0};
};

Nus nus;
WsdmPwm motor(MOTOR_PIN);
WsdmOutput* const motors[] = {&motor};
WsdmLovense vibrator(motors);
// BOOT on the board: pressed, it stops everything, until the app has stopped too.
WsdmButton button(BUTTON_PIN, vibrator);
WsdmSerial gateway(nus, button);

void setup() {
  // First of all, so that the motor is off while the radio starts.
  gateway.begin("LVSDevice");
  nus.begin();
}

void loop() {
  wsdmWatchdog(true);
  if (nus.hasGone()) gateway.lost();
  gateway.loop();
  nus.flush();
}
