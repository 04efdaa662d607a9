// A vibrator with a stop button, and an app that is in the sketch itself. It plays on until the button has stopped it for two
// seconds, pauses then for longer than the button asks for, and goes on at full strength.

#include <WsdmDevice.h>

WsdmPwm motor(9);
WsdmOutput* const motors[] = {&motor};
WsdmLovense vibrator(motors);
WsdmButton button(WSDM_BUTTON_PIN, vibrator);

class Unheard final : public WsdmReplies {
  void reply(const char*, size_t) override {}
};

static void say(const char* text, uint32_t now) {
  Unheard unheard;
  for (; *text; text++) button.receive(*text, now, unheard);
}

void setup() {
  button.begin(millis());
  button.connected(millis());
}

void loop() {
  static uint32_t heldSince = 0;
  static bool wasHeld = false, isPaused = false;
  const uint32_t now = millis();
  button.tick(now);
  if (isPaused && now - heldSince >= 2000 + WSDM_CALM_MS + 500) return say("Vibrate:20;", now);
  if (isPaused) return;
  say("Vibrate:10;", now);
  // What it commands is not on: it is held.
  if (button.isOn()) return;
  if (!wasHeld) heldSince = now;
  wasHeld = true;
  if (now - heldSince < 2000) return;
  isPaused = true;
  say("Vibrate:0;", now);
}
