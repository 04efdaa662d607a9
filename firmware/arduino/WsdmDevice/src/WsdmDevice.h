// A device of your own for the Buttplug world: over a websocket, a serial port or Bluetooth.
//
//   link        WsdmWebsocket (any Arduino Client), WsdmSerial (any Stream)
//   protocol    WsdmLovense, WsdmTcode: what bytes mean; the same for every link
//               WsdmButton, before either: a stop button
//   output      WsdmPwm, WsdmServo, WsdmHBridge, WsdmStepper, or a class of your own: what moves

#ifndef WSDM_DEVICE_H
#define WSDM_DEVICE_H

#include "WsdmBattery.h"
#include "WsdmButton.h"
#include "WsdmFaults.h"
#include "WsdmHBridge.h"
#include "WsdmLovense.h"
#include "WsdmOutput.h"
#include "WsdmPins.h"
#include "WsdmProtocol.h"
#include "WsdmPwm.h"
#include "WsdmReset.h"
#include "WsdmRotor.h"
#include "WsdmSerial.h"
#include "WsdmServo.h"
#include "WsdmStepper.h"
#include "WsdmTcode.h"
#include "WsdmWatchdog.h"
#include "WsdmWebsocket.h"

#endif
