/*
 * A program of 32 bits, without a C library, A32 or Thumb as it is compiled: threads with exclusives and kernel helpers,
 * signals in the middle of an IT block, the counter, floating point, and loads and stores of every form to devices, by
 * /dev/mem. Prints a line for each.
 */
typedef unsigned u32;
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned long long u64;

#define CLONE_THREAD 0x350f00 /* VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, PARENT_SETTID, CHILD_CLEARTID */
enum { EXIT = 1, WRITE = 4, OPEN = 5, CLONE = 120, MMAP2 = 192, SIGACTION = 174, SCHED_YIELD = 158, FUTEX = 240, EXIT_GROUP = 248, GETTID = 224 };

static long call(long n, long a, long b, long c, long d, long e, long f)
{
	register long r7 asm("r7") = n, r0 asm("r0") = a, r1 asm("r1") = b, r2 asm("r2") = c, r3 asm("r3") = d,
		      r4 asm("r4") = e, r5 asm("r5") = f;
	asm volatile("svc 0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5) : "memory");
	return r0;
}

static char line[256];
static int length;
static void text(const char *s) { while (*s) line[length++] = *s++; }
static void hex(u32 value) { for (int i = 28; i >= 0; i -= 4) line[length++] = "0123456789abcdef"[value >> i & 15]; }
static void flush(void) { line[length++] = '\n'; call(WRITE, 1, (long)line, length, 0, 0, 0); length = 0; }
static int failures;
static void check(const char *name, u32 is, u32 ought)
{
	if (is == ought) return;
	failures++;
	text("BAD "), text(name), text(" "), hex(is), text(", not "), hex(ought), flush();
}
static void done(const char *name) { text("OK "), text(name), flush(); }

void *memcpy(void *to, const void *from, u32 n) { for (u32 i = 0; i < n; i++) ((volatile u8 *)to)[i] = ((u8 *)from)[i]; return to; }
void *memset(void *to, int value, u32 n) { for (u32 i = 0; i < n; i++) ((volatile u8 *)to)[i] = value; return to; }

/* ------------------------------------------------------------------ threads */
#define ROUNDS 20000
static u32 counters[4] __attribute__((aligned(8)));
static volatile int finished[2];
static u8 stacks[2][16384] __attribute__((aligned(16)));

static u32 add(volatile u32 *at)
{
	u32 value, failed;
	do asm volatile("ldrex %0, [%2]\n add %0, %0, #1\n strex %1, %0, [%2]" : "=&r"(value), "=&r"(failed) : "r"(at) : "memory");
	while (failed);
	return value;
}
static void add64(volatile u32 *at)
{
	u32 failed;
	do asm volatile("ldrexd r2, r3, [%1]\n adds r2, r2, #1\n adc r3, r3, #0\n strexd %0, r2, r3, [%1]" : "=&r"(failed) : "r"(at) : "r2", "r3", "cc", "memory");
	while (failed);
}
/* The helper of the kernel at 0xffff0fc0 compares and exchanges: r0 old, r1 new, r2 where. */
static void add_by_kernel(volatile u32 *at)
{
	for (;;) {
		register u32 r0 asm("r0") = *at, r1 asm("r1") = r0 + 1, r2 asm("r2") = (u32)at;
		asm volatile("blx %3" : "+r"(r0) : "r"(r1), "r"(r2), "r"(0xffff0fc0) : "r3", "ip", "lr", "cc", "memory");
		if (r0 == 0) return;
	}
}
static void work(void)
{
	for (int i = 0; i < ROUNDS; i++) {
		add(&counters[0]);
		add64(&counters[2]);
		if (i % 8 == 0) add_by_kernel(&counters[1]);
	}
}
void thread(long index)
{
	work();
	finished[index] = 1;
	call(EXIT, 0, 0, 0, 0, 0, 0);
}
static void start(int index)
{
	u32 *top = (u32 *)(stacks[index] + sizeof stacks[0]) - 4;
	top[0] = index;
	top[1] = (u32)thread;
	register long r7 asm("r7") = CLONE, r0 asm("r0") = 0x10f00 | 0x40000, r1 asm("r1") = (long)top, r2 asm("r2") = 0, r3 asm("r3") = 0, r4 asm("r4") = 0;
	asm volatile("svc 0\n cmp r0, #0\n bne 1f\n ldr r0, [sp]\n ldr r1, [sp, #4]\n blx r1\n1:" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2), "r"(r3), "r"(r4) : "memory", "cc", "lr");
}
static void threads(void)
{
	start(0), start(1);
	work();
	while (!finished[0] || !finished[1]) call(SCHED_YIELD, 0, 0, 0, 0, 0, 0);
	check("exclusives", counters[0], 3 * ROUNDS);
	check("exclusives of doublewords", counters[2], 3 * ROUNDS);
	check("the kernel's exchange", counters[1], 3 * ((ROUNDS + 7) / 8));
	register u32 r0 asm("r0");
	u32 own;
	call(0xf0005, 0x12345678, 0, 0, 0, 0, 0);
	asm volatile("blx %1" : "=r"(r0) : "r"(0xffff0fe0) : "lr", "cc", "memory");
	check("the kernel's TLS", r0, 0x12345678);
	asm volatile("mrc p15, 0, %0, c13, c0, 3" : "=r"(own));
	check("TPIDRURO", own, 0x12345678);
	done("threads");
}

/* ------------------------------------------------------------------ signals */
static volatile u32 caught, caughtAt, caughtState;
struct context { u32 trap_no, error_code, oldmask, r[16], cpsr, fault_address; };
struct frame { u32 uc_flags; void *uc_link; u32 stack[3]; struct context c; };
static void handler(int number, void *info, struct frame *frame)
{
	caught = number;
	caughtAt = frame->c.r[15];
	caughtState = frame->c.cpsr;
	/* The handler's own IT block must not disturb the other. */
	if (number == 11) frame->c.r[2] = (u32)&counters[0];
	else frame->c.r[15] += number == 4 ? (frame->c.cpsr & 0x20 ? 2 : 4) : 0;
}
void restore(void);
#ifdef __thumb__
asm(".thumb\n");
#else
asm(".arm\n");
#endif
asm(".globl restore\n.type restore, %function\nrestore: mov r7, #173\n svc 0\n");
static void signals(void)
{
	struct { void *handler; u32 flags; void *restorer; u32 mask[2]; } action = { handler, 0x04000004, restore, { 0, 0 } };
	call(SIGACTION, 4, (long)&action, 0, 8, 0, 0);
	call(SIGACTION, 11, (long)&action, 0, 8, 0, 0);
	asm volatile("udf #0" ::: "memory");
	check("SIGILL", caught, 4);
	u32 first = 0, second = 0, value = 0;
	counters[0] = 0x55;
	/* The load in the middle faults; the handler mends its base. */
	asm volatile("mov r2, #0\n cmp r2, #0\n itte eq\n moveq %0, #1\n ldreq %2, [r2]\n movne %1, #1\n" : "+r"(first), "+r"(second), "+r"(value) :: "r2", "cc", "memory");
	check("SIGSEGV", caught, 11);
	check("before the fault", first, 1);
	check("the load that faulted", value, 0x55);
	check("after the fault", second, 0);
#ifdef __thumb__
	/* Of ITTE EQ: EQ, and two instructions are left. */
	check("ITSTATE at the fault", (caughtState >> 8 & 0xfc) | (caughtState >> 25 & 3), 0x0c);
#endif
	done("signals");
}

/* ------------------------------------------------------------------ devices */
static volatile u8 *map(u32 address)
{
	int file = call(OPEN, (long)"/dev/mem", 2 | 04010000, 0, 0, 0, 0);
	long at = call(MMAP2, 0, 4096, 3, 1, file, address >> 12);
	if (at < 0 && at > -4096) check("/dev/mem", at, 0);
	return (volatile u8 *)at;
}
static volatile u8 *config;
static void select(u32 item) { asm volatile("strh %0, [%1]" :: "r"((item >> 8 | item << 8) & 0xffff), "r"(config + 8) : "memory"); }
static u8 items[64];
/* Each read takes as many bytes as it has, once. */
#define READ(name, code, ...) do { \
	u32 a = 0, b = 0, c = 0; \
	select(0x19); \
	asm volatile(code : "=&r"(a), "=&r"(b), "=&r"(c) : "r"(config), "r"(0) : "r2", "r3", "d0", "d1", "cc", "memory"); \
	u32 found[] = { a, b, c }, wanted[] = { __VA_ARGS__ }; \
	for (int i = 0; i < 3; i++) check(name, found[i], wanted[i]); \
} while (0)
#define WORD(i) (items[i] | items[(i) + 1] << 8 | items[(i) + 2] << 16 | (u32)items[(i) + 3] << 24)
#define HALF(i) (items[i] | items[(i) + 1] << 8)
static void devices(void)
{
	config = map(0x09020000);
	select(0x19);
	for (int i = 0; i < 64; i++) asm volatile("ldrb %0, [%1]" : "=r"(items[i]) : "r"(config) : "memory");
	READ("ldrb", "ldrb %0, [%3]\n mov %1, #0\n mov %2, #0", items[0], 0, 0);
	READ("ldrh", "ldrh %0, [%3]\n ldrh %1, [%3, #2]\n mov %2, #0", HALF(0), HALF(2), 0);
	READ("ldr", "ldr %0, [%3]\n ldr %1, [%3, %4]\n ldr %2, [%3, #4]", WORD(0), WORD(4), WORD(8));
	READ("ldrsb", "ldrsb %0, [%3]\n ldrsb %1, [%3]\n ldrsb %2, [%3, #1]", (signed char)items[0], (signed char)items[1], (signed char)items[2]);
	READ("ldrsh", "ldrsh %0, [%3]\n ldrsh %1, [%3, #4]\n mov %2, #0", (short)HALF(0), (short)HALF(2), 0);
	READ("ldr!", "mov %2, %3\n ldr %0, [%2, #4]!\n ldr %1, [%2], #-4\n sub %2, %2, %3", WORD(0), WORD(4), 0);
	READ("ldrd", "ldrd r2, r3, [%3]\n mov %0, r2\n mov %1, r3\n ldrb %2, [%3]", WORD(0), WORD(4), items[8]);
	READ("ldm", "mov %2, %3\n ldm %2!, {r2, r3}\n mov %0, r2\n mov %1, r3\n sub %2, %2, %3", WORD(0), WORD(4), 8);
	READ("ldmdb", "add %2, %3, #8\n ldmdb %2, {r2, r3}\n mov %0, r2\n mov %1, r3\n ldrb %2, [%3]", WORD(0), WORD(4), items[8]);
	READ("vldr", "vldr s0, [%3]\n vldr d1, [%3]\n vmov %0, s0\n vmov %1, %2, d1", WORD(0), WORD(4), WORD(8));
	READ("vldm", "vldm %3, {s0, s1}\n vmov %0, s0\n vmov %1, s1\n ldrb %2, [%3]", WORD(0), WORD(4), items[8]);
	READ("vld1", "vld1.32 {d0}, [%3]\n vmov %0, %1, d0\n ldrb %2, [%3]", WORD(0), WORD(4), items[8]);
	READ("conditional", "cmp %4, #0\n itete eq\n ldreq %0, [%3]\n ldrne %0, [%3]\n ldrheq %1, [%3]\n ldrbne %1, [%3]\n mov %2, #0", WORD(0), HALF(4), 0);
	READ("not at all", "mov %0, #7\n cmp %4, #0\n ittee ne\n ldrne %0, [%3]\n ldrne %1, [%3]\n ldrbeq %1, [%3]\n ldrheq %2, [%3]", 7, items[0], HALF(1));

	/* The match register of the clock. */
	volatile u8 *clock = map(0x09010000);
	u32 is;
#define STORE(name, code, ought) do { \
	asm volatile(code "\n ldr %0, [%1, #4]" : "=&r"(is) : "r"(clock), "r"(ought), "r"(clock + 4), "r"(0) : "r2", "r3", "d0", "cc", "memory"); \
	check(name, is, ought); \
} while (0)
	STORE("str", "str %2, [%1, #4]", 0xfedcba98);
	STORE("strh", "strh %2, [%1, #4]", 0x1234);
	STORE("strb", "strb %2, [%1, #4]", 0x56);
	STORE("str, indexed", "str %2, [%3, %4]", 0xfedcba99);
	STORE("stm", "mov r2, %2\n stm %3, {r2}", 0xfedcba9a);
	STORE("vstr", "vmov s0, %2\n vstr s0, [%3]", 0xfedcba9b);
	STORE("conditional store", "cmp %4, #0\n ite eq\n streq %2, [%1, #4]\n strne %4, [%1, #4]", 0xfedcba9c);
	STORE("literal", "ldr r2, =0xfedcba9d\n b 9f\n .ltorg\n9: str r2, [%3], #0", 0xfedcba9d);
	asm volatile("ldr %0, [%1, #0xfe0]" : "=r"(is) : "r"(clock));
	check("PeriphID0", is, 0x31);
	done("devices");
}

static void counter(void)
{
	u32 lo, hi, lo2, hi2;
	asm volatile("mrrc p15, 1, %0, %1, c14" : "=r"(lo), "=r"(hi));
	asm volatile("mrrc p15, 1, %0, %1, c14" : "=r"(lo2), "=r"(hi2));
	u64 first = (u64)hi << 32 | lo, second = (u64)hi2 << 32 | lo2;
	check("CNTVCT", second < first || first == 0, 0);
	volatile double x = 22.0, y = 7.0;
	union { double d; u32 w[2]; } q = { x / y };
	check("a quotient", q.w[1], 0x40092492);
	done("counter");
}

int main(void)
{
	counter();
	threads();
	signals();
	devices();
	text(failures ? "FAILED" : "PASSED"), flush();
	return call(EXIT_GROUP, failures != 0, 0, 0, 0, 0, 0);
}
#ifdef __thumb__
asm(".thumb\n");
#else
asm(".arm\n");
#endif
asm(".globl _start\n.type _start, %function\n.balign 4\n_start: bl main\n");
