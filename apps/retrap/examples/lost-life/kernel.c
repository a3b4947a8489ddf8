// A game with one mistake: a player's name may be longer than the room for it.
struct { char name[8]; int lives; } player;

static void greet(const char *name) {
  player.lives = 3;
  for (int i = 0; name[i] != '\0'; i++)
    player.name[i] = name[i];
}

static void print(char byte) { __asm__ volatile("outb %0, %1" ::"a"(byte), "Nd"((short)0x3f8)); }

// Writes the number of lives to the serial port, and turns the machine off.
void start(void) {
  greet("Alexandria");
  char digits[12];
  int count = 0;
  for (int left = player.lives; left > 0; left /= 10) digits[count++] = '0' + left % 10;
  while (count > 0) print(digits[--count]);
  for (const char *text = " lives\r\n"; *text != '\0'; text++) print(*text);
  __asm__ volatile("outw %0, %1" ::"a"((short)0x2000), "Nd"((short)0x604));
}
