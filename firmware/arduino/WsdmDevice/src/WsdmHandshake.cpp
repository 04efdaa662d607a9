#include "WsdmHandshake.h"

#include "WsdmReset.h"

// What JSON does not allow between quotation marks is escaped, or left out where no name has it.
static void printText(Print& out, const char* text) {
  out.print('"');
  for (; *text; text++) {
    const uint8_t byte = *text;
    if (byte == '"' || byte == '\\') out.print('\\');
    if (byte >= ' ') out.write(byte);
  }
  out.print('"');
}

void wsdmPrintHandshake(Print& out, const char* identifier, const char* address, uint16_t keepaliveMs, bool tellsReset,
                        const char* fault) {
  out.print(F("{\"identifier\":"));
  printText(out, identifier);
  if (address) {
    out.print(F(",\"address\":"));
    printText(out, address);
  }
  out.print(F(",\"version\":0"));
  if (keepaliveMs > 0) {
    out.print(F(",\"keepalive_ms\":"));
    out.print(keepaliveMs);
  }
  const __FlashStringHelper* const reset = tellsReset ? wsdmResetReason() : nullptr;
  if (reset) {
    out.print(F(",\"reset\":\""));
    out.print(reset);
    out.print('"');
  }
  if (fault) {
    out.print(F(",\"fault\":"));
    printText(out, fault);
  }
  out.print('}');
}
