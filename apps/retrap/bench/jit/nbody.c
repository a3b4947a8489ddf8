// The sun and four planets under gravity, for thousands of steps: double precision, divisions and square roots.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { BODIES = 5 };
struct body {
  double position[3], velocity[3], mass;
};

// Rounded; only the arithmetic matters.
static struct body bodies[BODIES] = {
    {{0, 0, 0}, {0, 0, 0}, 39.478},
    {{4.841, -1.160, -0.104}, {0.606, 2.812, -0.025}, 0.03769},
    {{8.343, 4.125, -0.404}, {-1.011, 1.826, 0.0084}, 0.01129},
    {{12.894, -15.111, -0.223}, {1.083, 0.868, -0.0108}, 0.001724},
    {{15.380, -25.919, 0.179}, {0.979, 0.594, -0.0348}, 0.002034},
};

static void advance(double step) {
  for (int i = 0; i < BODIES; i++) {
    for (int j = i + 1; j < BODIES; j++) {
      double d[3], square = 0;
      for (int axis = 0; axis < 3; axis++) {
        d[axis] = bodies[i].position[axis] - bodies[j].position[axis];
        square += d[axis] * d[axis];
      }
      double magnitude = step / (square * sqrt(square));
      for (int axis = 0; axis < 3; axis++) {
        bodies[i].velocity[axis] -= d[axis] * bodies[j].mass * magnitude;
        bodies[j].velocity[axis] += d[axis] * bodies[i].mass * magnitude;
      }
    }
  }
  for (int i = 0; i < BODIES; i++) {
    for (int axis = 0; axis < 3; axis++) bodies[i].position[axis] += step * bodies[i].velocity[axis];
  }
}

int main(int argc, char **argv) {
  for (int i = (argc > 1 ? atoi(argv[1]) : 1) * 1000; i > 0; i--) advance(0.01);
  printf("nbody %.9f %.9f\n", bodies[0].position[0], bodies[3].velocity[2]);
  return 0;
}
