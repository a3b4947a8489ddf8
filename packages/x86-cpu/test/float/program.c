/*
 * Compiled floating-point code: the same source runs on the host and on our processor, and leaves 64-bit results that must
 * agree bit for bit. With HOST defined it is a program that writes them to standard output.
 */
#include <immintrin.h>
#include <stdint.h>

static uint64_t *out;

static void keep(double value) {
  union { double d; uint64_t u; } bits = {value};
  *out++ = bits.u;
}

static void keep_extended(long double value) {
  union { long double d; uint64_t u[2]; } bits = {value};
  *out++ = bits.u[0];
  *out++ = bits.u[1] & 0xffff;
}

/* Planets: scalar arithmetic, square roots, divisions. */
static void bodies(void) {
  double x[5] = {0, 4.84, 8.34, 12.89, 15.37}, y[5] = {0, -1.16, 4.12, -15.11, -25.9}, z[5] = {0, -0.1, -0.4, -0.22, 0.17};
  double vx[5] = {0, 0.6, -1.01, 1.08, 0.97}, vy[5] = {0, 2.81, 1.82, 0.86, 0.59}, vz[5] = {0, -0.02, 0.008, -0.01, -0.03};
  double mass[5] = {39.47, 0.037, 0.011, 0.0017, 0.002};
  for (int step = 0; step < 100; step++) {
    for (int i = 0; i < 5; i++)
      for (int j = i + 1; j < 5; j++) {
        double dx = x[i] - x[j], dy = y[i] - y[j], dz = z[i] - z[j];
        double square = dx * dx + dy * dy + dz * dz;
        double pull = 0.01 / (square * __builtin_sqrt(square));
        vx[i] -= dx * mass[j] * pull, vy[i] -= dy * mass[j] * pull, vz[i] -= dz * mass[j] * pull;
        vx[j] += dx * mass[i] * pull, vy[j] += dy * mass[i] * pull, vz[j] += dz * mass[i] * pull;
      }
    for (int i = 0; i < 5; i++) x[i] += 0.01 * vx[i], y[i] += 0.01 * vy[i], z[i] += 0.01 * vz[i];
  }
  for (int i = 0; i < 5; i++) keep(x[i]), keep(y[i]), keep(z[i]);
}

/* Vectors of four: products of matrices, reductions, conversions. */
static void matrices(void) {
  static float a[16][16], b[16][16], c[16][16];
  for (int i = 0; i < 16; i++)
    for (int j = 0; j < 16; j++) a[i][j] = (float)(i * 7 + j) / 3.0f, b[i][j] = 1.0f / (float)(1 + i + j);
  for (int i = 0; i < 16; i++)
    for (int j = 0; j < 16; j++) c[i][j] = 0;
  for (int i = 0; i < 16; i++)
    for (int k = 0; k < 16; k++)
      for (int j = 0; j < 16; j++) c[i][j] += a[i][k] * b[k][j];
  float sum = 0;
  int whole = 0;
  for (int i = 0; i < 16; i++)
    for (int j = 0; j < 16; j++) sum += __builtin_sqrtf(c[i][j]), whole += (int)c[i][j];
  keep(sum);
  *out++ = (uint64_t)whole;
}

/* Iterations per point of the Mandelbrot set: comparisons. */
static void mandelbrot(void) {
  uint64_t total = 0;
  for (int row = 0; row < 24; row++)
    for (int column = 0; column < 32; column++) {
      double cr = -2.0 + column * 3.0 / 32, ci = -1.2 + row * 0.1, r = 0, i = 0;
      int n = 0;
      while (n < 60 && r * r + i * i < 4.0) {
        double t = r * r - i * i + cr;
        i = 2 * r * i + ci, r = t, n++;
      }
      total = total * 31 + (uint64_t)n;
    }
  *out++ = total;
}

/* Sums in all rounding modes, down into the denormals. */
static void roundings(void) {
  unsigned saved = _mm_getcsr();
  for (unsigned mode = 0; mode < 4; mode++) {
    _mm_setcsr(0x1f80 | mode << 13);
    volatile double x = 1.0, sum = 0;
    for (int i = 1; i < 200; i++) sum += x / i;
    volatile double tiny = 1e-300;
    for (int i = 0; i < 60; i++) tiny *= 0.7;
    for (int i = 0; i < 20; i++) tiny /= 3.0;
    volatile float narrow = (float)sum;
    keep(sum), keep(tiny), keep(narrow);
    *out++ = _mm_getcsr();
  }
  _mm_setcsr(saved);
}

/* The x87 unit: a root by Newton's method, a continued fraction, remainders, scaling, whole numbers. */
static void extended(void) {
  long double root = 1, two = 2;
  for (int i = 0; i < 8; i++) root = (root + two / root) / 2;
  keep_extended(root);
  long double fraction = 1;
  for (int i = 40; i > 0; i--) fraction = 1 + i / fraction;
  keep_extended(fraction);
  long double e = 1, term = 1;
  for (int i = 1; i < 30; i++) term /= i, e += term;
  keep_extended(e);
  long double big = 1e30L, small = 0.7L, rest = big;
  for (uint16_t status = 0x400; status & 0x400;) __asm__("fprem\n\tfnstsw %1" : "+t"(rest), "=a"(status) : "u"(small));
  keep_extended(rest);
  long double whole, power;
  __asm__("frndint" : "=t"(whole) : "0"(e * 1000));
  __asm__("fscale" : "=t"(power) : "0"(e), "u"((long double)-70));
  keep_extended(whole), keep_extended(power);
  *out++ = (uint64_t)(int64_t)(e * 1e15L);
  keep((double)e), keep((float)e);
  uint16_t status;
  __asm__ volatile("fnstsw %0" : "=a"(status));
  *out++ = status;
}

__attribute__((section(".text.entry"))) void entry(uint64_t *results) {
  out = results;
  bodies();
  matrices();
  mandelbrot();
  roundings();
  extended();
}

#ifdef HOST
#include <stdio.h>
int main(void) {
  static uint64_t results[64];
  entry(results);
  return fwrite(results, sizeof results, 1, stdout) == 1 ? 0 : 1;
}
#endif
