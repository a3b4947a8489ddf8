/*
 * AVX2, FMA, F16C, AES, carry-less multiplication and SHA as compilers and libraries use them: string functions, a matrix
 * product, a gather through a table, a known answer of each cipher and hash, and state that signals and threads keep apart.
 */
#include <immintrin.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t hash(const void *data, size_t size) {
  const uint8_t *p = data;
  uint64_t h = 0xcbf29ce484222325;
  for (size_t i = 0; i < size; i++) h = (h ^ p[i]) * 0x100000001b3;
  return h;
}

static uint32_t seed = 1;
static uint32_t next(void) {
  seed ^= seed << 13;
  seed ^= seed >> 17;
  seed ^= seed << 5;
  return seed;
}

static void features(void) {
  __builtin_cpu_init();
  printf("avx %d avx2 %d fma %d f16c %d bmi2 %d aes %d pclmul %d gfni %d\n", !!__builtin_cpu_supports("avx"),
         !!__builtin_cpu_supports("avx2"), !!__builtin_cpu_supports("fma"), !!__builtin_cpu_supports("f16c"),
         !!__builtin_cpu_supports("bmi2"), !!__builtin_cpu_supports("aes"), !!__builtin_cpu_supports("pclmul"),
         !!__builtin_cpu_supports("gfni"));
}

/* Whatever the library picks for this processor, at every alignment, at the end of a page. */
static void strings(void) {
  char *pages = mmap(0, 0x3000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(pages + 0x2000, 0x1000);
  uint64_t h = 0;
  for (int size = 0; size < 200; size++) {
    char *at = pages + 0x2000 - size - 1;
    for (int i = 0; i < size; i++) at[i] = 'a' + (i * 7 + size) % 26;
    at[size] = 0;
    const char *e = strchr(at, 'e'), *r = strrchr(at, 'k'), *s = strstr(at, "ho");
    h = h * 31 + strlen(at) + (e ? e - at : 999) * 3 + (r ? r - at : 999) * 5 + (s ? s - at : 999) * 7;
    char copy[256];
    memset(copy, 'x', sizeof copy);
    memcpy(copy + size % 17, at, size + 1);
    h = h * 31 + (memcmp(copy + size % 17, at, size) == 0) + strcmp(copy + size % 17, at) + hash(copy, sizeof copy);
    memmove(copy + 3, copy, 200);
    h ^= hash(copy, sizeof copy) + (strnlen(at, 77) << 8) + (memchr(copy, 'q', 200) != 0);
  }
  printf("strings %016lx\n", h);
}

static void matrices(void) {
  enum { N = 32 };
  static double a[N][N], b[N][N], c[N][N];
  static float x[N * N], y[N * N], z[N * N];
  for (int i = 0; i < N * N; i++) {
    a[i / N][i % N] = (int32_t)next() / 65536.0;
    b[i / N][i % N] = 1.0 / (1 + next() % 1000);
    x[i] = (int32_t)next() / 3e5f;
    y[i] = (next() % 2000) / 7.0f;
  }
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j += 4) {
      __m256d sum = _mm256_setzero_pd();
      for (int k = 0; k < N; k++) sum = _mm256_fmadd_pd(_mm256_broadcast_sd(&a[i][k]), _mm256_loadu_pd(&b[k][j]), sum);
      _mm256_storeu_pd(&c[i][j], sum);
    }
  for (int i = 0; i < N * N; i += 8) {
    __m256 u = _mm256_loadu_ps(x + i), v = _mm256_loadu_ps(y + i);
    __m256 w = _mm256_fnmadd_ps(u, v, _mm256_sqrt_ps(v));
    _mm256_storeu_ps(z + i, _mm256_blendv_ps(w, _mm256_fmaddsub_ps(u, u, v), _mm256_cmp_ps(u, v, _CMP_GT_OQ)));
  }
  printf("doubles %016lx %.17g singles %016lx %.9g\n", hash(c, sizeof c), c[5][7], hash(z, sizeof z), z[77]);
}

static void gathers(void) {
  static int32_t table[4096];
  static double wide[4096];
  for (int i = 0; i < 4096; i++) wide[i] = table[i] = next();
  __m256i sum = _mm256_setzero_si256();
  __m256d total = _mm256_setzero_pd();
  for (int i = 0; i < 500; i++) {
    __m256i index = _mm256_and_si256(_mm256_mullo_epi32(_mm256_set1_epi32(i * 77 + 1), _mm256_setr_epi32(1, 2, 3, 5, 7, 11, 13, 17)), _mm256_set1_epi32(4095));
    sum = _mm256_xor_si256(_mm256_slli_epi32(sum, 1), _mm256_i32gather_epi32(table, index, 4));
    __m256d mask = _mm256_castsi256_pd(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(sum)));
    total = _mm256_add_pd(total, _mm256_mask_i32gather_pd(total, wide, _mm256_castsi256_si128(index), mask, 8));
  }
  printf("gathers %016lx %016lx\n", hash(&sum, 32), hash(&total, 32));
}

static void integers(void) {
  static uint8_t data[4096];
  static uint16_t halves[1024];
  for (int i = 0; i < 4096; i++) data[i] = next();
  __m256i acc = _mm256_setzero_si256();
  for (int i = 0; i + 64 <= 4096; i += 32) {
    __m256i u = _mm256_loadu_si256((void *)(data + i)), v = _mm256_loadu_si256((void *)(data + i + 31));
    acc = _mm256_add_epi64(acc, _mm256_sad_epu8(u, v));
    acc = _mm256_xor_si256(acc, _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(u, v), _mm256_srli_epi32(v, 3)));
    acc = _mm256_sub_epi16(acc, _mm256_maddubs_epi16(u, v));
    acc = _mm256_alignr_epi8(acc, _mm256_mulhrs_epi16(u, v), 5);
    acc = _mm256_sllv_epi32(_mm256_permute4x64_epi64(acc, 0x39), _mm256_srli_epi32(v, 28));
  }
  for (int i = 0; i < 1024; i += 8)
    _mm_storeu_si128((void *)(halves + i), _mm256_cvtps_ph(_mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_loadu_si256((void *)(data + 3 * i))), _mm256_set1_ps(1e-5f)), 0));
  __m256 back = _mm256_cvtph_ps(_mm_loadu_si128((void *)(halves + 100)));
  printf("integers %016lx halves %016lx %016lx\n", hash(&acc, 32), hash(halves, sizeof halves), hash(&back, 32));
}

#define EXPAND(key, constant)                                                          \
  do {                                                                                 \
    __m128i t = _mm_shuffle_epi32(_mm_aeskeygenassist_si128(key, constant), 0xff);     \
    key = _mm_xor_si128(key, _mm_slli_si128(key, 4));                                  \
    key = _mm_xor_si128(key, _mm_slli_si128(key, 8));                                  \
    key = _mm_xor_si128(key, t);                                                       \
    keys[++n] = key;                                                                   \
  } while (0)

/* FIPS 197, appendix B, and a chain of blocks there and back. */
static void cipher(void) {
  const uint8_t secret[16] = {0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c};
  const uint8_t plain[16] = {0x32, 0x43, 0xf6, 0xa8, 0x88, 0x5a, 0x30, 0x8d, 0x31, 0x31, 0x98, 0xa2, 0xe0, 0x37, 0x07, 0x34};
  __m128i keys[11], key = _mm_loadu_si128((void *)secret), block = _mm_loadu_si128((void *)plain);
  int n = 0;
  keys[0] = key;
  EXPAND(key, 0x01); EXPAND(key, 0x02); EXPAND(key, 0x04); EXPAND(key, 0x08); EXPAND(key, 0x10);
  EXPAND(key, 0x20); EXPAND(key, 0x40); EXPAND(key, 0x80); EXPAND(key, 0x1b); EXPAND(key, 0x36);
  for (int round = 0; round < 1000; round++) {
    block = _mm_xor_si128(block, keys[0]);
    for (int i = 1; i < 10; i++) block = _mm_aesenc_si128(block, keys[i]);
    block = _mm_aesenclast_si128(block, keys[10]);
    if (round == 0) printf("aes %016llx%016llx", (long long)_mm_extract_epi64(block, 1), (long long)_mm_extract_epi64(block, 0));
  }
  printf(" %016lx", hash(&block, 16));
  for (int round = 0; round < 1000; round++) {
    block = _mm_xor_si128(block, keys[10]);
    for (int i = 9; i > 0; i--) block = _mm_aesdec_si128(block, _mm_aesimc_si128(keys[i]));
    block = _mm_aesdeclast_si128(block, keys[0]);
  }
  printf(" %d\n", memcmp(&block, plain, 16));
  __m128i product = block;
  for (int i = 0; i < 100; i++) product = _mm_xor_si128(_mm_clmulepi64_si128(product, keys[i % 11], 0x10), _mm_clmulepi64_si128(product, keys[i % 11], 0x01));
  printf("carry-less %016lx\n", hash(&product, 16));
}

/* State that the kernel saves and restores: in a signal's frame, and between threads. */
static volatile sig_atomic_t taken;
static void on_signal(int number) {
  (void)number;
  __m256i junk = _mm256_set1_epi32(0x55aa55aa);
  __asm__ volatile("vmovdqa %0, %%ymm8\n\tvmovdqa %0, %%ymm15" ::"m"(junk) : "xmm8", "xmm15");
  taken++;
}

static void *spin(void *argument) {
  uint64_t tag = (uint64_t)argument;
  __m256i mine = _mm256_set1_epi64x(tag), found;
  uint64_t wrong = 0;
  __asm__ volatile("vmovdqa %0, %%ymm9" ::"m"(mine) : "xmm9");
  for (int i = 0; i < 200000; i++) {
    if (i % 20000 == 0) sched_yield();
    __asm__ volatile("vmovdqa %%ymm9, %0" : "=m"(found));
    if (memcmp(&mine, &found, 32) != 0) wrong++;
    __asm__ volatile("vmovdqa %0, %%ymm9" ::"m"(mine) : "xmm9");
  }
  return (void *)wrong;
}

static void state(void) {
  __m256i before = _mm256_setr_epi64x(1, 2, 3, 4), after;
  signal(SIGUSR1, on_signal);
  pid_t self = getpid();
  long result;
  __asm__ volatile("vmovdqa %2, %%ymm8\n\tvmovdqa %2, %%ymm15\n\tsyscall\n\tvpaddq %%ymm8, %%ymm15, %%ymm8\n\tvmovdqa %%ymm8, %1"
                   : "=a"(result), "=m"(after)
                   : "m"(before), "0"(62L), "D"((long)self), "S"((long)SIGUSR1)
                   : "rcx", "r11", "xmm8", "xmm15", "memory");
  printf("signal %d %016lx\n", (int)taken, hash(&after, 32));
  pthread_t threads[6];
  uint64_t wrong = 0;
  for (uint64_t i = 0; i < 6; i++) pthread_create(&threads[i], 0, spin, (void *)(0x0101010101010101 * (i + 1)));
  for (int i = 0; i < 6; i++) {
    void *one;
    pthread_join(threads[i], &one);
    wrong += (uint64_t)one;
  }
  printf("threads %lu\n", wrong);
}

int main(void) {
  setvbuf(stdout, 0, _IONBF, 0);
  features();
  strings();
  matrices();
  gathers();
  integers();
  cipher();
  state();
  return 0;
}
