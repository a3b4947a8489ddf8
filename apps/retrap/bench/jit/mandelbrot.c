// Counts the steps until points leave the Mandelbrot set, on a grid of the argument's width.
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  int width = argc > 1 ? atoi(argv[1]) : 64;
  long steps = 0;
  for (int row = 0; row < width; row++) {
    for (int column = 0; column < width; column++) {
      double x0 = -2.0 + 3.0 * column / width, y0 = -1.5 + 3.0 * row / width, x = 0, y = 0;
      int count = 0;
      while (count < 200 && x * x + y * y < 4.0) {
        double next = x * x - y * y + x0;
        y = 2 * x * y + y0, x = next, count++;
      }
      steps += count;
    }
  }
  printf("mandelbrot %ld\n", steps);
  return 0;
}
