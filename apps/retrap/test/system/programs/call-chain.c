/* A program that spends its time in a chain of three functions. */
__attribute__((noinline)) static int leaf(int n) {
  volatile int sum = 0;
  for (int i = 0; i < n; i++) sum += i;
  return sum;
}

__attribute__((noinline)) static int middle(int n) { return leaf(n) + 1; }

int main(void) {
  int sum = 0;
  for (int i = 0; i < 20; i++) sum += middle(400000);
  return sum == 1;
}
