// A servo and a motor on two pins of one timer, and a motor on another: the first that begins has the timer.

#include <WsdmDevice.h>

WsdmServo servo(9);
WsdmPwm motor(10);
WsdmPwm other(3);

void setup() {
  servo.begin();
  motor.begin();
  other.begin();
  servo.set(WSDM_FULL / 2);
  motor.set(WSDM_FULL);
  other.set(WSDM_FULL / 2);
}

void loop() {}
