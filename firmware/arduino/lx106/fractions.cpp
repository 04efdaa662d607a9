// Numbers with a fraction, which the chip also has in its ROM: rounded to the nearest, of two that are as near to the
// even one. What is too small for a normal number becomes 0.

#include <stdint.h>
#include <string.h>

static const int BITS = 52, BIAS = 1023, MOST = 0x7FF;
static const uint64_t ONE = 1ULL << BITS;

struct Parts {
  bool isNegative;
  // Of a number other than 0: its value is mantissa / ONE * 2^exponent, with a mantissa of ONE or more.
  uint64_t mantissa;
  int exponent;
  bool isZero, isInfinite, isNone;
};

static Parts parts(double number) {
  uint64_t bits;
  memcpy(&bits, &number, sizeof(bits));
  const int exponent = bits >> BITS & MOST;
  const uint64_t fraction = bits & (ONE - 1);
  return {static_cast<bool>(bits >> 63), fraction | ONE, exponent - BIAS,
          exponent == 0, exponent == MOST && fraction == 0, exponent == MOST && fraction != 0};
}

static double made(bool isNegative, int exponent, uint64_t fraction) {
  const uint64_t bits =
      static_cast<uint64_t>(isNegative) << 63 | static_cast<uint64_t>(exponent) << BITS | (fraction & (ONE - 1));
  double number;
  memcpy(&number, &bits, sizeof(number));
  return number;
}

static double zero(bool isNegative) { return made(isNegative, 0, 0); }
static double infinite(bool isNegative) { return made(isNegative, MOST, 0); }
static double none() { return made(false, MOST, 1ULL << (BITS - 1)); }

// A number whose mantissa has as many bits as it likes, in units of ONE << 3; the lowest says whether anything is lost.
static double rounded(bool isNegative, int exponent, uint64_t mantissa) {
  if (mantissa == 0) return zero(isNegative);
  for (; mantissa >= ONE << 4; exponent++) mantissa = mantissa >> 1 | (mantissa & 1);
  for (; mantissa < ONE << 3; exponent--) mantissa <<= 1;
  const unsigned rest = mantissa & 7;
  mantissa >>= 3;
  if (rest > 4 || (rest == 4 && (mantissa & 1))) mantissa++;
  if (mantissa == ONE << 1) {
    mantissa >>= 1;
    exponent++;
  }
  if (exponent + BIAS >= MOST) return infinite(isNegative);
  if (exponent + BIAS <= 0) return zero(isNegative);
  return made(isNegative, exponent + BIAS, mantissa);
}

static double added(double one, double other) {
  Parts a = parts(one), b = parts(other);
  if (a.isNone || b.isNone || (a.isInfinite && b.isInfinite && a.isNegative != b.isNegative)) return none();
  if (a.isInfinite) return one;
  if (b.isInfinite) return other;
  if (a.isZero && b.isZero) return zero(a.isNegative && b.isNegative);
  if (a.isZero) return other;
  if (b.isZero) return one;
  if (a.exponent < b.exponent) {
    const Parts kept = a;
    a = b;
    b = kept;
  }
  const int apart = a.exponent - b.exponent;
  const uint64_t larger = a.mantissa << 3;
  uint64_t smaller = b.mantissa << 3;
  if (apart > 60) {
    smaller = 1;
  } else if (apart > 0) {
    smaller = smaller >> apart | ((smaller & ((1ULL << apart) - 1)) != 0);
  }
  if (a.isNegative == b.isNegative) return rounded(a.isNegative, a.exponent, larger + smaller);
  if (larger == smaller) return zero(false);
  return larger > smaller ? rounded(a.isNegative, a.exponent, larger - smaller)
                          : rounded(b.isNegative, a.exponent, smaller - larger);
}

static double multiplied(double one, double other) {
  const Parts a = parts(one), b = parts(other);
  const bool isNegative = a.isNegative != b.isNegative;
  if (a.isNone || b.isNone || (a.isInfinite && b.isZero) || (a.isZero && b.isInfinite)) return none();
  if (a.isInfinite || b.isInfinite) return infinite(isNegative);
  if (a.isZero || b.isZero) return zero(isNegative);
  // 53 bits times 53, by bits, from the highest: 56 of them are kept.
  uint64_t product = 0, lost = 0;
  for (int bit = 0; bit <= BITS; bit++) {
    if (a.mantissa >> bit & 1) product += b.mantissa << 4;
    if (bit < BITS) {
      lost |= product & 1;
      product >>= 1;
    }
  }
  return rounded(isNegative, a.exponent + b.exponent - 1, product | lost);
}

static double divided(double one, double other) {
  const Parts a = parts(one), b = parts(other);
  const bool isNegative = a.isNegative != b.isNegative;
  if (a.isNone || b.isNone || (a.isInfinite && b.isInfinite) || (a.isZero && b.isZero)) return none();
  if (a.isInfinite || b.isZero) return infinite(isNegative);
  if (b.isInfinite || a.isZero) return zero(isNegative);
  uint64_t quotient = 0, rest = a.mantissa;
  for (int bit = 0; bit <= BITS + 4; bit++) {
    quotient <<= 1;
    if (rest >= b.mantissa) {
      rest -= b.mantissa;
      quotient |= 1;
    }
    rest <<= 1;
  }
  return rounded(isNegative, a.exponent - b.exponent - 1, quotient | (rest != 0));
}

static double whole(bool isNegative, uint64_t number) {
  // There is room for 60 bits.
  if (number >> 60) return rounded(isNegative, BITS + 4, (number >> 4 | ((number & 15) != 0)) << 3);
  return rounded(isNegative, BITS, number << 3);
}

// Towards zero; what does not fit becomes the nearest that does.
static uint32_t truncated(double number, uint32_t most) {
  const Parts a = parts(number);
  if (a.isZero || a.isNone || a.exponent < 0) return 0;
  if (a.isInfinite || a.exponent > 31) return most;
  const uint32_t found = a.mantissa >> (BITS - a.exponent);
  return found > most ? most : found;
}

static float narrowed(double number) {
  const Parts a = parts(number);
  const uint32_t sign = static_cast<uint32_t>(a.isNegative) << 31;
  uint32_t bits = 0;
  if (a.isNone) {
    bits = 0x7FC00000;
  } else if (a.isInfinite || a.exponent > 127) {
    bits = 0x7F800000;
  } else if (!a.isZero && a.exponent >= -126) {
    const uint32_t kept = a.mantissa >> 29, rest = a.mantissa & 0x1FFFFFFF;
    const bool up = rest > 0x10000000 || (rest == 0x10000000 && (kept & 1));
    // A carry goes on into the exponent, and from the largest number to the infinite.
    bits = (static_cast<uint32_t>(a.exponent + 127) << 23) + (kept & 0x7FFFFF) + up;
  }
  bits |= sign;
  float small;
  memcpy(&small, &bits, sizeof(small));
  return small;
}

static double widened(float number) {
  uint32_t bits;
  memcpy(&bits, &number, sizeof(bits));
  const bool isNegative = bits >> 31;
  const int exponent = bits >> 23 & 0xFF;
  const uint64_t fraction = static_cast<uint64_t>(bits & 0x7FFFFF) << 29;
  if (exponent == 0) return zero(isNegative);
  return made(isNegative, exponent == 0xFF ? MOST : exponent - 127 + BIAS, fraction);
}

static double negated(double number) {
  const Parts a = parts(number);
  uint64_t bits;
  memcpy(&bits, &number, sizeof(bits));
  return made(!a.isNegative, bits >> BITS & MOST, bits);
}

static double magnitude(int32_t number) {
  return whole(number < 0, number < 0 ? -static_cast<uint32_t>(number) : number);
}

static int32_t truncated(double number) {
  const bool isNegative = parts(number).isNegative;
  const uint32_t found = truncated(number, isNegative ? 0x80000000 : 0x7FFFFFFF);
  return isNegative ? -found : found;
}

extern "C" {

double __adddf3(double one, double other) { return added(one, other); }
double __subdf3(double one, double other) { return added(one, negated(other)); }
double __muldf3(double one, double other) { return multiplied(one, other); }
double __divdf3(double one, double other) { return divided(one, other); }
double __floatsidf(int32_t number) { return magnitude(number); }
double __floatunsidf(uint32_t number) { return whole(false, number); }
int32_t __fixdfsi(double number) { return truncated(number); }
uint32_t __fixunsdfsi(double number) { return parts(number).isNegative ? 0 : truncated(number, 0xFFFFFFFF); }

// A float's result is that of a double, rounded once more: with more than twice its bits that is the same.
float __truncdfsf2(double number) { return narrowed(number); }
double __extendsfdf2(float number) { return widened(number); }
float __addsf3(float one, float other) { return narrowed(added(widened(one), widened(other))); }
float __subsf3(float one, float other) { return narrowed(added(widened(one), negated(widened(other)))); }
float __mulsf3(float one, float other) { return narrowed(multiplied(widened(one), widened(other))); }
float __floatsisf(int32_t number) { return narrowed(magnitude(number)); }
float __floatunsisf(uint32_t number) { return narrowed(whole(false, number)); }
uint32_t __fixunssfsi(float number) { return __fixunsdfsi(widened(number)); }
}
