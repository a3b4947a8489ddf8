// Makes accesses from EL1 and EL0 under given stage-1 tables, and says what became of each.
//
// Runs on qemu-system-aarch64 -M virt,virtualization=on, at EL2. Stage 2 maps only the first GiB of RAM, where the tables
// and the guest's few instructions are; every other intermediate address faults to EL2, which so learns what stage 1
// translated to. A fault of stage 1 goes to EL1, whose vectors are HVC #1.
//
// Cases are at 0x41000000 (test/support/arm/qemu.ts writes them), answers leave through semihosting.
typedef unsigned long u64;
typedef unsigned int u32;

enum { ENTRIES = 8 };

struct entry {
  u64 address, value;
};

struct test_case {
  u64 sctlr, tcr, ttbr0, ttbr1, mair, dacr, va;
  u64 spsr, elr; // elr: where it starts; X1 = va
  u64 hcr;
  u64 vbar;
  u64 entry_bytes;
  struct entry entries[ENTRIES]; // address 0: unused
};

struct answer {
  u64 kind; // 0: stage-1 fault, 1: stage-2 abort, 2: something else
  u64 esr, ifsr, far, hpfar;
  u64 entries[ENTRIES];
};

u64 run_case(u64 elr, u64 spsr, u64 va);

#define WRITE(name, value) __asm__ volatile("msr " name ", %0" ::"r"((u64)(value)) : "memory")
#define READ(name)                                         \
  ({                                                       \
    u64 value_;                                            \
    __asm__ volatile("mrs %0, " name : "=r"(value_)::"memory"); \
    value_;                                                \
  })

static volatile u32 *const code64 = (u32 *)0x40200000;
static volatile u32 *const code32 = (u32 *)0x40201000;
static u64 stage2[512] __attribute__((aligned(16384)));

static u64 semihost(u64 operation, void *block) {
  register u64 x0 __asm__("x0") = operation;
  register void *x1 __asm__("x1") = block;
  __asm__ volatile("hlt #0xf000" : "+r"(x0) : "r"(x1) : "memory");
  return x0;
}

static void prepare(void) {
  for (int i = 0; i < 512; i++) code64[i] = 0xd4000022; // hvc #1
  const u32 stubs64[] = {0xf9400020, 0xf9000020, 0xf8400820, 0xf8000820}; // ldr, str, ldtr, sttr x0, [x1]
  const u32 stubs32[] = {0xe5910000, 0xe5810000, 0xe4b10000, 0xe4a10000}; // ldr, str, ldrt, strt r0, [r1]
  for (int i = 0; i < 8; i++) code32[i] = 0xe1400071; // hvc #1
  for (int i = 0; i < 4; i++) {
    code64[512 + 2 * i] = stubs64[i];
    code64[513 + 2 * i] = 0xd4000042; // hvc #2
    code32[8 + 2 * i] = stubs32[i];
    code32[9 + 2 * i] = 0xe1400072;
  }
  stage2[1] = 0x40000000 | 0x4fd; // a block of 1 GiB, readable, writable, Normal
  WRITE("vttbr_el2", stage2);
  WRITE("vtcr_el2", 0x80000000u | 2 << 16 | 1 << 6 | 24); // 40 bits of IPA, from level 1
  WRITE("cptr_el2", 0x33ff);
}

static void run(const struct test_case *in, struct answer *out) {
  int narrow = in->entry_bytes == 4;
  for (int i = 0; i < ENTRIES; i++) {
    const struct entry *each = &in->entries[i];
    if (each->address == 0) continue;
    if (narrow) *(volatile u32 *)each->address = each->value;
    else *(volatile u64 *)each->address = each->value;
  }
  WRITE("hcr_el2", in->hcr);
  WRITE("sctlr_el1", in->sctlr);
  WRITE("tcr_el1", in->tcr);
  WRITE("ttbr0_el1", in->ttbr0);
  WRITE("ttbr1_el1", in->ttbr1);
  WRITE("mair_el1", in->mair);
  WRITE("vbar_el1", in->vbar);
  WRITE("dacr32_el2", in->dacr);
  WRITE("contextidr_el1", 0);
  __asm__ volatile("dsb sy\n tlbi alle1\n ic iallu\n dsb sy\n isb" ::: "memory");
  u64 esr = run_case(in->elr, in->spsr, in->va);
  u32 class = esr >> 26 & 63;
  out->ifsr = READ("ifsr32_el2");
  out->hpfar = READ("hpfar_el2");
  if (class == 0x20 || class == 0x24) {
    out->kind = 1;
    out->esr = esr;
    out->far = READ("far_el2");
  } else if ((class == 0x16 || class == 0x12) && (esr & 0xffff) == 1) {
    out->kind = 0;
    out->esr = READ("esr_el1");
    out->far = READ("far_el1");
  } else {
    out->kind = 2;
    out->esr = esr;
    out->far = 0;
  }
  for (int i = 0; i < ENTRIES; i++) {
    const struct entry *each = &in->entries[i];
    out->entries[i] = 0;
    if (each->address == 0) continue;
    out->entries[i] = narrow ? *(volatile u32 *)each->address : *(volatile u64 *)each->address;
    if (narrow) *(volatile u32 *)each->address = 0;
    else *(volatile u64 *)each->address = 0;
  }
}

void main(void) {
  const volatile u64 *header = (u64 *)0x41000000;
  u64 count = header[0];
  const struct test_case *cases = (struct test_case *)0x41000040;
  struct answer *answers = (struct answer *)0x50000000;
  prepare();
  for (u64 i = 0; i < count; i++) run(&cases[i], &answers[i]);
  u64 open[] = {(u64) "answers.bin", 5, 11}; // mode wb
  u64 file = semihost(1, open);
  u64 write[] = {file, (u64)answers, count * sizeof(struct answer)};
  semihost(5, write);
  semihost(2, &file);
  u64 stop[] = {0x20026, 0};
  semihost(0x18, stop);
}
