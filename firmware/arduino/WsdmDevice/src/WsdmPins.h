// Pins to begin with, by chip: none is the flash's, the serial port's or USB's, none is read by the chip when it starts
// (a strapping pin, which a motor driver's resistor would pull), and none shows pulses then but an S3's 18, high for 60
// microseconds, which no servo follows. A stepper has some that motors have in other machines. WSDM_BUTTON_PIN is read at the
// start: it is the button BOOT or FLASH that most boards have, and a button like any other afterwards. For a chip that is not
// here the names are not defined: set pins of your own in the sketch.

#ifndef WSDM_PINS_H
#define WSDM_PINS_H

#include <Arduino.h>

#if defined(ARDUINO_ARCH_ESP8266)

// D1, D2, D5, D6 of a NodeMCU or a D1 mini.
#define WSDM_MOTOR_PIN 5
#define WSDM_MOTOR_2_PIN 4
#define WSDM_VALVE_PIN 14
#define WSDM_SERVO_PIN 12
#define WSDM_BATTERY_PIN A0
#define WSDM_STEP_PIN 5
#define WSDM_DIRECTION_PIN 4
#define WSDM_ENABLE_PIN 14
#define WSDM_LIMIT_PIN 12
#define WSDM_BUTTON_PIN 0

#elif defined(CONFIG_IDF_TARGET_ESP32)

#define WSDM_MOTOR_PIN 4
#define WSDM_MOTOR_2_PIN 25
#define WSDM_VALVE_PIN 26
#define WSDM_SERVO_PIN 18
// Of the converter that works beside Wi-Fi.
#define WSDM_BATTERY_PIN 34
#define WSDM_STEP_PIN 25
#define WSDM_DIRECTION_PIN 26
#define WSDM_ENABLE_PIN 27
#define WSDM_LIMIT_PIN 33
#define WSDM_BUTTON_PIN 0

#elif defined(CONFIG_IDF_TARGET_ESP32S2) || defined(CONFIG_IDF_TARGET_ESP32S3)

#define WSDM_MOTOR_PIN 4
#define WSDM_MOTOR_2_PIN 5
#define WSDM_VALVE_PIN 6
#define WSDM_SERVO_PIN 18
#define WSDM_BATTERY_PIN 1
#define WSDM_STEP_PIN 4
#define WSDM_DIRECTION_PIN 5
#define WSDM_ENABLE_PIN 6
#define WSDM_LIMIT_PIN 7
#define WSDM_BUTTON_PIN 0

#elif defined(CONFIG_IDF_TARGET_ESP32C3)

#define WSDM_MOTOR_PIN 4
#define WSDM_MOTOR_2_PIN 5
#define WSDM_VALVE_PIN 6
#define WSDM_SERVO_PIN 7
#define WSDM_BATTERY_PIN 3
#define WSDM_STEP_PIN 4
#define WSDM_DIRECTION_PIN 5
#define WSDM_ENABLE_PIN 6
#define WSDM_LIMIT_PIN 7
#define WSDM_BUTTON_PIN 9

#elif defined(CONFIG_IDF_TARGET_ESP32C6)

#define WSDM_MOTOR_PIN 18
#define WSDM_MOTOR_2_PIN 19
#define WSDM_VALVE_PIN 20
#define WSDM_SERVO_PIN 21
#define WSDM_BATTERY_PIN 2
#define WSDM_STEP_PIN 18
#define WSDM_DIRECTION_PIN 19
#define WSDM_ENABLE_PIN 20
#define WSDM_LIMIT_PIN 21
#define WSDM_BUTTON_PIN 9

#elif !defined(ARDUINO_ARCH_ESP32)

// As printed on an Uno, a Nano, a Leonardo, a Mega and on boards made like them. A servo is on 9 or 10 of an Uno or a
// Nano, and no motor on the other: they have a timer in common.
#define WSDM_MOTOR_PIN 9
#define WSDM_MOTOR_2_PIN 10
#define WSDM_VALVE_PIN 7
#define WSDM_SERVO_PIN 9
#define WSDM_BATTERY_PIN A0
// Those of a CNC shield's X axis.
#define WSDM_STEP_PIN 2
#define WSDM_DIRECTION_PIN 5
#define WSDM_ENABLE_PIN 8
#define WSDM_LIMIT_PIN 9
// A button from there to ground.
#define WSDM_BUTTON_PIN 12

#endif

#endif
