/*
 * A program of AArch64 without a C library, built with -mbranch-protection=standard: its pages are guarded. Calls through
 * pointers and computed jumps work, those to what is no landing end a child by SIGILL. Prints a line for each.
 */
enum { WRITE = 64, EXIT = 93, EXIT_GROUP = 94, CLONE = 220, WAIT4 = 260 };

static long call(long n, long a, long b, long c, long d)
{
	register long x8 asm("x8") = n, x0 asm("x0") = a, x1 asm("x1") = b, x2 asm("x2") = c, x3 asm("x3") = d;
	asm volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
}

static void text(const char *s)
{
	long n = 0;
	while (s[n]) n++;
	call(WRITE, 1, (long)s, n, 0);
}

/* ret; nop, nop, ret; bti j, ret; bti c, ret */
asm(".text\n .globl bare, inner, jump, callee\n"
    "bare: ret\n"
    "inner: nop\n nop\n ret\n"
    "jump: bti j\n ret\n"
    "callee: bti c\n ret\n");
extern void bare(void), inner(void), jump(void), callee(void);

static long add(long a, long b) { return a + b; }
static long multiply(long a, long b) { return a * b; }
static long (*volatile functions[])(long, long) = { add, multiply };

/* A switch by table: computed jumps to `bti j`. */
static long select(long which)
{
	static void *volatile labels[] = { &&first, &&second, &&third };
	goto *labels[which];
first:
	return 1;
second:
	return 20;
third:
	return 300;
}

static void run(void (*to)(void), int jumps)
{
	register void (*target)(void) asm("x9") = to;
	if (jumps) asm volatile("adr x30, 1f\n br %0\n 1:" : : "r"(target) : "x30", "memory");
	else asm volatile("blr %0" : : "r"(target) : "x30", "memory");
}

/* The signal by which a child ends that makes a branch; 0: none. */
static int signal_of(void (*to)(void), int jumps)
{
	int status = -1;
	long child = call(CLONE, 17, 0, 0, 0);
	if (child == 0) {
		run(to, jumps);
		call(EXIT_GROUP, 0, 0, 0, 0);
	}
	call(WAIT4, child, (long)&status, 0, 0);
	return status & 0x7f;
}

static void check(const char *name, int holds)
{
	text(holds ? "OK " : "BAD ");
	text(name);
	text("\n");
}

void _start(void)
{
	long sum = 0;
	for (long i = 0; i < 100000; i++) sum += functions[i & 1](i, 3) + select(i % 3);
	check("calls and jumps", sum == 10010799894);
	check("landings", signal_of(callee, 0) == 0 && signal_of(jump, 1) == 0);
	check("bad calls", signal_of(bare, 0) == 4 && signal_of(inner, 0) == 4 && signal_of(jump, 0) == 4);
	check("bad jumps", signal_of(bare, 1) == 4 && signal_of(callee, 1) == 4);
	call(EXIT_GROUP, 0, 0, 0, 0);
}
