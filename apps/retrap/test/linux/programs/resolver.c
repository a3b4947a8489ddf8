// The name server of a network namespace: `resolver FILE`. It serves UDP and TCP at 127.0.0.11, and is there when the command has ended.
//
// The file is read for each query, and is replaced as a whole when names change. Each line is a record: `NAME TYPE DATA`, the name in small
// letters and the data in hexadecimal. All records of a name and a type are answered, each time from the next one on.
//
// A name without a record does not exist: NXDOMAIN. No other server is asked. SERVFAIL, as Docker has it without an upstream, and REFUSED are
// no answers for musl, which waits for 5 seconds. Other classes than IN are refused.
//
// Sources: RFC 1035; RFC 6891, "Extension Mechanisms for DNS"; RFC 7766, "DNS Transport over TCP"; Docker, "Embedded DNS server".
typedef unsigned char u8;
long call(long number, long a, long b, long c, long d, long e, long f);
#ifdef __x86_64__
enum { READ = 0, CLOSE = 3, SOCKET = 41, SENDTO = 44, RECVFROM = 45, BIND = 49, LISTEN = 50, SETSOCKOPT = 54 };
enum { CLONE = 56, EXIT = 60, OPENAT = 257, PPOLL = 271, ACCEPT4 = 288 };
asm(".globl _start\n_start: mov %rsp, %rdi; call serve");
asm("call: mov %rdi, %rax; mov %rsi, %rdi; mov %rdx, %rsi; mov %rcx, %rdx; mov %r8, %r10; mov %r9, %r8; mov 8(%rsp), %r9; syscall; ret");
#else
enum { OPENAT = 56, CLOSE = 57, READ = 63, PPOLL = 73, EXIT = 93, SOCKET = 198, BIND = 200, LISTEN = 201 };
enum { SENDTO = 206, RECVFROM = 207, SETSOCKOPT = 208, CLONE = 220, ACCEPT4 = 242 };
asm(".globl _start\n_start: mov x0, sp; b serve");
asm("call: mov x8, x0; mov x0, x1; mov x1, x2; mov x2, x3; mov x3, x4; mov x4, x5; mov x5, x6; svc 0; ret");
#endif

enum { FORMERR = 1, NXDOMAIN = 3, NOTIMP = 4, REFUSED = 5, OPT = 41, IN = 1, TTL = 600, MOST_FOUND = 2048 };
enum { HEADER = 12, OPT_BYTES = 11, UDP_LEAST = 512, UDP_MOST = 4096, TCP_MOST = 65535, CLIENTS = 16 };
enum { EAGAIN = 11, MSG_NOSIGNAL = 0x4000, NONBLOCK_CLOEXEC = 02004000 };

static u8 text[1 << 20], query[UDP_MOST], reply[2 + TCP_MOST], turns[256];
/** The data of a record, in the text. */
static struct { const u8 *data; int bytes; } found[MOST_FOUND];
/** What a TCP connection has sent, and is not answered. */
static struct { int bytes; u8 sent[2 + UDP_MOST]; } clients[CLIENTS];
/** UDP, connections that come, and the clients. */
static struct { int fd; short events, revents; } ends[2 + CLIENTS];

static int get(const u8 *at) { return at[0] << 8 | at[1]; }
static u8 *put(u8 *at, int value) { return at[0] = value >> 8, at[1] = value, at + 2; }
static int digit(u8 c) { return c & 64 ? (c & 7) + 9 : c & 15; }

/** Finds the records of a name. Returns how many there are; -1: there is no such name. */
static int find(const char *path, const u8 *name, int size, int type) {
  int count = -1, length = 0, fd = call(OPENAT, -100, (long)path, 02000000, 0, 0, 0);
  for (int n; (n = call(READ, fd, (long)text + length, sizeof text - length, 0, 0, 0)) > 0;) length += n;
  call(CLOSE, fd, 0, 0, 0, 0, 0);
  for (const u8 *at = text, *end = text + length; at < end; at++) {
    int same = 0, its = 0;
    while (same < size && at + same < end && at[same] == name[same]) same++;
    const u8 *word = at += same;
    while (at < end && *at != '\n') at++;
    if (same < size || word == at || *word++ != ' ') continue;
    if (count < 0) count = 0;
    while (word < at && *word != ' ') its = (its * 10 + digit(*word++)) & 0xffff;
    if (its != type || count == MOST_FOUND || word == at) continue;
    found[count].data = word + 1, found[count++].bytes = (at - word - 1) / 2;
  }
  return count;
}

/** Answers a query, within `room` bytes unless a query by UDP names more. Returns the bytes of the reply; 0: there is none. */
static int answer(const char *path, const u8 *ask, int length, u8 *to, int room) {
  u8 name[256], *at = to + HEADER;
  int asked = HEADER, size = 0, wish = 0, version = 0, answers = 0;
  unsigned turn = 0;
  // A reply to a reply would have two servers talk for ever.
  if (length < HEADER || ask[2] & 0x80) return 0;
  for (int i = 0; i < HEADER; i++) to[i] = i < 2 ? ask[i] : 0;
  // A reply, with the query's opcode and its wish of recursion.
  to[2] = 0x80 | (ask[2] & 0x79), to[3] = ask[2] & 0x78 ? NOTIMP : FORMERR;
  if (to[3] == NOTIMP || get(ask + 4) != 1) return HEADER;
  for (int label; asked < length && (label = ask[asked++]) != 0;) {
    if (label > 63 || asked + label > length || size + label > 253) return HEADER;
    if (size > 0) name[size++] = '.';
    for (u8 c; label--; turn = turn * 31 + name[size++]) {
      c = ask[asked++];
      // No name in the file has these in a label.
      name[size] = c <= ' ' || c == '.' ? 1 : c >= 'A' && c <= 'Z' ? c + 32 : c;
    }
  }
  if (ask[asked - 1] != 0 || asked + 4 > length) return HEADER;
  int type = get(ask + asked), class = get(ask + asked + 2);
  const u8 *opt = ask + (asked += 4);
  if (get(ask + 10) > 0 && asked + OPT_BYTES <= length && opt[0] == 0 && get(opt + 1) == OPT)
    wish = get(opt + 3) < UDP_LEAST ? UDP_LEAST : get(opt + 3), version = opt[6];
  to[3] = 0x80, to[5] = 1;
  while (at < to + asked) *at = ask[at - to], at++;
  if (room < wish) room = wish < UDP_MOST ? wish : UDP_MOST;
  u8 *end = to + room - (wish ? OPT_BYTES : 0);
  int count = version ? 0 : class == IN ? find(path, name, size, type) : -1;
  if (count < 0) to[3] |= class == IN ? NXDOMAIN : REFUSED;
  if (count > 0) turn = turns[(turn + type) & 255]++;
  for (; answers < count; answers++) {
    const u8 *data = found[(turn + answers) % count].data;
    int bytes = found[(turn + answers) % count].bytes;
    if (at + 12 + bytes > end) { to[2] |= 2; break; }
    at = put(put(put(put(put(put(at, 0xc000 | HEADER), type), IN), 0), TTL), bytes);
    for (; bytes--; data += 2) *at++ = digit(data[0]) << 4 | digit(data[1]);
  }
  put(to + 6, answers);
  if (!wish) return at - to;
  // The size that is taken, and for another version than 0: BADVERS.
  for (int i = to[11] = 1; i <= OPT_BYTES; i++) at[i - 1] = 0;
  at[2] = OPT, put(at + 3, UDP_MOST), at[5] = version != 0;
  return at + OPT_BYTES - to;
}

static void hangUp(int client) {
  call(CLOSE, ends[2 + client].fd, 0, 0, 0, 0, 0);
  ends[2 + client].fd = -1, clients[client].bytes = 0;
}

/** Answers what a client has sent. One that has gone, sends what is no query, or takes no replies is hung up on. */
static void hear(const char *path, int client) {
  u8 *sent = clients[client].sent;
  int fd = ends[2 + client].fd, *bytes = &clients[client].bytes;
  int n = call(RECVFROM, fd, (long)sent + *bytes, sizeof clients[client].sent - *bytes, 0, 0, 0);
  if (n == -EAGAIN) return;
  if (n <= 0) return hangUp(client);
  for (*bytes += n; *bytes >= 2 && *bytes >= 2 + get(sent);) {
    int all = 2 + get(sent), size = answer(path, sent + 2, all - 2, reply + 2, TCP_MOST);
    put(reply, size);
    if (!size || call(SENDTO, fd, (long)reply, 2 + size, MSG_NOSIGNAL, 0, 0) != 2 + size) return hangUp(client);
    *bytes -= all;
    for (int i = 0; i < *bytes; i++) sent[i] = sent[all + i];
  }
  if (*bytes == sizeof clients[client].sent) hangUp(client);
}

__attribute__((noreturn, used)) static void serve(char **stack) {
  static const u8 here[16] = {2, 0, 0, 53, 127, 0, 0, 11};
  const char *path = stack[2];
  int newest = 0, on = 1, isWrong = 0;
  for (int i = 0; i < 2 + CLIENTS; i++) ends[i].fd = -1, ends[i].events = 1;
  for (int i = 0; i < 2; i++) {
    int fd = ends[i].fd = call(SOCKET, 2, (2 - i) | NONBLOCK_CLOEXEC, 0, 0, 0, 0);
    if (i == 1) call(SETSOCKOPT, fd, 1, 2, (long)&on, sizeof on, 0);
    isWrong |= call(BIND, fd, (long)here, sizeof here, 0, 0, 0) != 0;
  }
  isWrong |= call(LISTEN, ends[1].fd, CLIENTS, 0, 0, 0, 0) != 0;
  if (isWrong || call(CLONE, 17, 0, 0, 0, 0, 0) != 0) call(EXIT, isWrong, 0, 0, 0, 0, 0);
  for (;;) {
    u8 peer[16];
    int peerBytes = sizeof peer, n, fd, client;
    call(PPOLL, (long)ends, 2 + CLIENTS, 0, 0, 0, 0);
    for (int i = 0; i < CLIENTS; i++) if (ends[2 + i].fd >= 0 && ends[2 + i].revents) hear(path, i);
    n = call(RECVFROM, ends[0].fd, (long)query, sizeof query, 0, (long)peer, (long)&peerBytes);
    if (n > 0 && (n = answer(path, query, n, reply, UDP_LEAST)) > 0)
      call(SENDTO, ends[0].fd, (long)reply, n, 0, (long)peer, peerBytes);
    if ((fd = call(ACCEPT4, ends[1].fd, 0, 0, NONBLOCK_CLOEXEC, 0, 0)) < 0) continue;
    // Where room lacks, the client that came first makes it.
    if (ends[2 + (client = newest++ % CLIENTS)].fd >= 0) hangUp(client);
    ends[2 + client].fd = fd;
  }
}
