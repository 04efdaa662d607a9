// Arithmetic that the chip has in its ROM, so that its compiler's library lacks it: this core neither divides nor
// multiplies to 64 bits.

#include <stdint.h>

template <typename T>
struct Divided {
  T quotient, rest;
};

template <typename T>
static Divided<T> divided(T number, T by) {
  Divided<T> result = {0, 0};
  for (int bit = 8 * sizeof(T) - 1; bit >= 0; bit--) {
    // Of a number with all its bits, the highest is lost here.
    const bool carry = result.rest >> (8 * sizeof(T) - 1);
    result.rest = result.rest << 1 | (number >> bit & 1);
    if (carry || result.rest >= by) {
      result.rest -= by;
      result.quotient |= static_cast<T>(1) << bit;
    }
  }
  return result;
}

// Division goes towards zero; what is left has the sign of what was divided.
template <typename S, typename U>
static S quotient(S number, S by) {
  const U found = divided<U>(number < 0 ? -static_cast<U>(number) : number, by < 0 ? -static_cast<U>(by) : by).quotient;
  return (number < 0) != (by < 0) ? -found : found;
}

extern "C" {

uint32_t __udivsi3(uint32_t number, uint32_t by) { return divided(number, by).quotient; }
uint32_t __umodsi3(uint32_t number, uint32_t by) { return divided(number, by).rest; }
int32_t __divsi3(int32_t number, int32_t by) { return quotient<int32_t, uint32_t>(number, by); }
uint64_t __udivdi3(uint64_t number, uint64_t by) { return divided(number, by).quotient; }
uint64_t __umoddi3(uint64_t number, uint64_t by) { return divided(number, by).rest; }
int64_t __divdi3(int64_t number, int64_t by) { return quotient<int64_t, uint64_t>(number, by); }

uint64_t __umulsidi3(uint32_t one, uint32_t other) {
  const uint32_t low = one & 0xFFFF, high = one >> 16, otherLow = other & 0xFFFF, otherHigh = other >> 16;
  const uint32_t ends = low * otherLow;
  const uint32_t middle = high * otherLow + (ends >> 16);
  const uint32_t cross = low * otherHigh + (middle & 0xFFFF);
  const uint32_t upper = high * otherHigh + (middle >> 16) + (cross >> 16);
  return static_cast<uint64_t>(upper) << 32 | cross << 16 | (ends & 0xFFFF);
}

uint64_t __muldi3(uint64_t one, uint64_t other) {
  const uint32_t low = one, high = one >> 32, otherLow = other, otherHigh = other >> 32;
  return __umulsidi3(low, otherLow) + (static_cast<uint64_t>(low * otherHigh + high * otherLow) << 32);
}
}
