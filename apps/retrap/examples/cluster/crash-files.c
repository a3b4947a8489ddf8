// Writes files while the power is lost again and again, and looks after each start at what is there: the test of a file system.
// A number is promised once its record is in a log that is synced, and its file was replaced by way of a rename. After a start it
// reports up to which number all is there, and whether what is there is whole. With --no-sync nothing is synced.
//
//   crash-files FOLDER [--no-sync]
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD 100
#define FILES 8
#define FILE_BYTES 12000

static int syncs = 1;
static FILE *report;

// Trouble of the disk is no failure of the test: the machine goes no further.
static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void sync_file(int file) {
  if (syncs && fsync(file) != 0) fail("fsync");
}

static void write_all(int file, const char *bytes, size_t length) {
  if (write(file, bytes, length) != (ssize_t)length) fail("write");
}

// The contents of a number's file.
static void pattern(char *bytes, int number) {
  for (int i = 0; i < FILE_BYTES; i += 8) snprintf(bytes + i, 9, "%07d\n", (number * 31 + i) % 10000000);
}

static void record(char *bytes, int number) {
  snprintf(bytes, RECORD + 1, "%-*d\n", RECORD - 1, number);
}

// The number whose file this is, which is at most `last`; 0: there is none.
static int number_of(int file, int last) {
  static char found[FILE_BYTES + 1], wanted[FILE_BYTES + 1];
  char name[20];
  snprintf(name, sizeof name, "file%d", file);
  int fd = open(name, O_RDONLY);
  if (fd < 0) return 0;
  ssize_t length = read(fd, found, sizeof found);
  close(fd);
  // A number may have its file, and not its record yet.
  for (int number = last + 1; number > 0 && number > last - FILES; number--) {
    if (number % FILES != file) continue;
    pattern(wanted, number);
    if (length == FILE_BYTES && memcmp(found, wanted, FILE_BYTES) == 0) return number;
  }
  fprintf(report, "always files-are-whole fail {\"file\": \"%s\", \"bytes\": %zd, \"after\": %d}\n", name, length, last);
  return 0;
}

// Reads what is there. Returns the last number of the log.
static int look(int log) {
  char found[RECORD], wanted[RECORD + 1];
  int last = 0;
  for (; pread(log, found, RECORD, (off_t)last * RECORD) == RECORD; last++) {
    record(wanted, last + 1);
    if (memcmp(found, wanted, RECORD) != 0) break;
  }
  // A part of a record, or blocks that were never written, may be at the end: nothing of it was acknowledged.
  if (ftruncate(log, (off_t)last * RECORD) != 0) fail("ftruncate");
  int whole = last;
  for (int number = last; number > 0 && number > last - FILES; number--)
    if (number_of(number % FILES, last) < number) whole = number - 1;
  fprintf(report, "always files-are-whole ok\nfound files %d\n", whole);
  return last;
}

int main(int count, char **words) {
  if (count < 2 || chdir(words[1]) != 0) fail("chdir");
  syncs = count < 3;
  report = fopen("/dev/retrap/report", "w");
  if (report == NULL) fail("/dev/retrap/report");
  setvbuf(report, NULL, _IOLBF, 0);
  int log = open("log", O_RDWR | O_CREAT, 0644);
  int folder = open(".", O_RDONLY | O_DIRECTORY);
  if (log < 0 || folder < 0) fail("open");
  static char bytes[FILE_BYTES + 1], line[RECORD + 1];
  for (int number = look(log) + 1;; number++) {
    char name[20];
    snprintf(name, sizeof name, "file%d", number % FILES);
    pattern(bytes, number);
    int file = open("new", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file < 0) fail("open");
    write_all(file, bytes, FILE_BYTES);
    sync_file(file);
    close(file);
    if (rename("new", name) != 0) fail("rename");
    sync_file(folder);
    record(line, number);
    if (lseek(log, (off_t)(number - 1) * RECORD, SEEK_SET) < 0) fail("lseek");
    write_all(log, line, RECORD);
    sync_file(log);
    fprintf(report, "promised files %d\n", number);
  }
}
