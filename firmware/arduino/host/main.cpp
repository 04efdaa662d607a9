// Runs a sketch. Ends on SIGTERM, as anything does that has not said otherwise.

#include <Arduino.h>

int main() {
  setup();
  for (;;) {
    loop();
    hostTimer();
    delay(1);
  }
}
