// Bytes at random, under the sanitizers.

#include "checks.h"

// Commands cut up and strung together at random, and noise between them.
void checkNoise() {
  static const char* const PIECES[] = {"Vibrate", "Vibrate1", ":", "20", ";",  "Mply:", "-1", "DeviceType;", "L0", "R0",
                                       "V0",      "I",        "S", "D2", "\n", "DSTOP", "$",  "-",           "9999", " "};
  srand(1);
  Edge edge;
  Machine machine;
  uint32_t now = 0;
  for (long i = 0; i < 2000000 / CHECKS_DIVISOR; i++) {
    std::string bytes;
    if (rand() % 4 == 0) {
      bytes.assign(1, static_cast<char>(rand()));
    } else {
      bytes = PIECES[rand() % (sizeof(PIECES) / sizeof(*PIECES))];
    }
    say(edge.device, bytes, now);
    say(machine.device, bytes, now);
    now += rand() % 64 == 0 ? rand() : rand() % 8;
    machine.device.tick(now);
    edge.device.isOn();
    machine.device.isOn();
  }
}
