// disk DEVICE read|write FIRST-BLOCK|random BLOCK-BYTES COUNT DEPTH: so many requests, DEPTH of them under way at a time,
// past the guest's page cache. Prints a sum over what was read, or the count of what was written.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_DEPTH = 64, ALIGNMENT = 4096 };

static uint64_t state = 88172645463325252u;

// xorshift64 (Marsaglia, 2003): every emulator's guest makes the same requests.
static uint64_t draw(void) {
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

int main(int argc, char **argv) {
  if (argc != 7) return 2;
  int writes = strcmp(argv[2], "write") == 0, random = strcmp(argv[3], "random") == 0;
  uint64_t first = random ? 0 : strtoull(argv[3], NULL, 0), bytes = strtoull(argv[4], NULL, 0);
  uint64_t count = strtoull(argv[5], NULL, 0), depth = strtoull(argv[6], NULL, 0), disk = 0, sum = 0;
  int file = -1;
  // Drivers find their drives in the background.
  for (int i = 0; i < 200 && (file = open(argv[1], O_RDWR | O_DIRECT)) < 0; i++) usleep(100000);
  if (file < 0 || depth > MAX_DEPTH || ioctl(file, BLKGETSIZE64, &disk) != 0) return perror(argv[1]), 1;
  aio_context_t context = 0;
  if (syscall(SYS_io_setup, MAX_DEPTH, &context) != 0) return perror("io_setup"), 1;
  struct iocb requests[MAX_DEPTH], *free_list[MAX_DEPTH];
  char *buffers;
  if (posix_memalign((void **)&buffers, ALIGNMENT, depth * bytes) != 0) return 1;
  memset(buffers, 0x5a, depth * bytes);
  memset(requests, 0, sizeof requests);
  for (uint64_t i = 0; i < depth; i++) free_list[i] = &requests[i];
  uint64_t blocks = disk / bytes, begun = 0, done = 0, free_count = depth;
  while (done < count) {
    uint64_t batch = free_count < count - begun ? free_count : count - begun;
    struct iocb **chosen = free_list + (free_count - batch);
    for (uint64_t i = 0; i < batch; i++, begun++) {
      struct iocb *request = chosen[i];
      request->aio_lio_opcode = writes ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
      request->aio_fildes = file;
      request->aio_buf = (uintptr_t)(buffers + (request - requests) * bytes);
      request->aio_nbytes = bytes;
      request->aio_offset = (random ? draw() % blocks : (first + begun) % blocks) * bytes;
    }
    if (batch > 0 && syscall(SYS_io_submit, context, batch, chosen) != (long)batch) return perror("io_submit"), 1;
    free_count -= batch;
    struct io_event events[MAX_DEPTH];
    long ended = syscall(SYS_io_getevents, context, 1, MAX_DEPTH, events, NULL);
    if (ended < 1) return perror("io_getevents"), 1;
    for (long i = 0; i < ended; i++, done++) {
      struct iocb *request = (struct iocb *)(uintptr_t)events[i].obj;
      if (events[i].res != (int64_t)bytes) return fprintf(stderr, "result %lld\n", (long long)events[i].res), 1;
      uint64_t word;
      memcpy(&word, (void *)(uintptr_t)request->aio_buf, sizeof word);
      sum += writes ? 1 : word;
      free_list[free_count++] = request;
    }
  }
  if (writes && fsync(file) != 0) return perror("fsync"), 1;
  printf("%llu\n", (unsigned long long)sum);
  return 0;
}
