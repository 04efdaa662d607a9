// Declarations of what the example BleNusLovense uses of the ESP32's BLE library, read in that library's documentation.
// Written to check the example's types; nothing here runs.
#pragma once

#include <stddef.h>
#include <stdint.h>

class BLECharacteristic;
class BLEServer;

class BLEServerCallbacks {
 public:
  virtual ~BLEServerCallbacks() {}
  virtual void onConnect(BLEServer*) {}
  virtual void onDisconnect(BLEServer*) {}
};

class BLECharacteristicCallbacks {
 public:
  virtual ~BLECharacteristicCallbacks() {}
  virtual void onWrite(BLECharacteristic*) {}
};

class BLE2902 {};

class BLECharacteristic {
 public:
  static const uint32_t PROPERTY_NOTIFY = 1, PROPERTY_WRITE = 2, PROPERTY_WRITE_NR = 4;
  void setCallbacks(BLECharacteristicCallbacks*);
  void addDescriptor(BLE2902*);
  void setValue(const uint8_t* bytes, size_t size);
  void notify();
  uint8_t* getData();
  size_t getLength();
};

class BLEService {
 public:
  BLECharacteristic* createCharacteristic(const char* uuid, uint32_t properties);
  void start();
};

class BLEAdvertising {
 public:
  void addServiceUUID(const char* uuid);
  void start();
};

class BLEServer {
 public:
  void setCallbacks(BLEServerCallbacks*);
  BLEService* createService(const char* uuid);
  BLEAdvertising* getAdvertising();
};

class BLEDevice {
 public:
  static void init(const char* name);
  static BLEServer* createServer();
};

// Of the ESP32's core, not of its BLE library: the chip's own address.
class EspClass {
 public:
  uint64_t getEfuseMac();
};
extern EspClass ESP;
