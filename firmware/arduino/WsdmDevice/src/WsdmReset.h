// Why the chip started, in a few words, for the gateway's log.

#ifndef WSDM_RESET_H
#define WSDM_RESET_H

#include <Arduino.h>

// Null if that is not known. On an AVR, boot loaders such as Optiboot erase it: then it is null.
const __FlashStringHelper* wsdmResetReason();

#endif
