// Multiplies matrices of REAL, 256 by 256, as often as the argument says.
#include <stdio.h>
#include <stdlib.h>

#ifndef REAL
#define REAL double
#endif
enum { N = 256 };
static REAL a[N][N], b[N][N], c[N][N];

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 1;
  for (int i = 0; i < N; i++) {
    for (int j = 0; j < N; j++) a[i][j] = (i * 3 + j) % 17 - 8, b[i][j] = (i + j * 5) % 13 * (REAL)0.25;
  }
  for (int round = 0; round < rounds; round++) {
    for (int i = 0; i < N; i++) {
      for (int k = 0; k < N; k++) {
        for (int j = 0; j < N; j++) c[i][j] += a[i][k] * b[k][j];
      }
    }
  }
  REAL sum = 0;
  for (int i = 0; i < N; i++) sum += c[i][i] + c[i][N - 1 - i];
  printf("matmul %.6f\n", (double)sum);
  return 0;
}
