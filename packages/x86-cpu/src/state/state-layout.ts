import type * as engine from '@retrap/engine'

/**
 * Where each part of a vCPU's state lies, as byte offsets from the state's machine address. TypeScript and generated
 * code use the same offsets. Everything a vCPU is lives here, so that it can move to another thread.
 *
 * 64-bit fields are 8-byte aligned, vector registers 16-byte aligned.
 */

/** RAX RCX RDX RBX RSP RBP RSI RDI R8…R15, 8 bytes each. AH is the second byte of RAX. */
export const S_GPR = 0x000
/** RIP: valid whenever TypeScript runs. */
export const S_RIP = 0x080
/** All of RFLAGS but the six arithmetic flags, which are lazy (`S_FLAGS_*`). Bit 1 is always set here. */
export const S_EFLAGS = 0x088
/** How to derive the arithmetic flags: `FLAGS_EXPLICIT` … */
export const S_FLAGS_KIND = 0x08c
/** Result, first and second operand of the last flag-setting operation, each sign-extended from its size to 64 bits. */
export const S_FLAGS_RESULT = 0x090
export const S_FLAGS_A = 0x098
export const S_FLAGS_B = 0x0a0
/** Always zero: the base or index of an address that has none. */
export const S_ZERO = 0x0a8
/** Linear address of the code page that is being executed: the base of RIP-relative addresses. */
export const S_PAGE_BASE = 0x0b0
/** Machine address of the record of the current instruction, while TypeScript runs. */
export const S_RECORD = 0x0b8
/** Instructions that may still retire before `run` returns. */
export const S_BUDGET = 0x0bc
/** Non-zero: something waits to be looked at between two instructions (`EVENT_*`). */
export const S_EVENTS = 0x0c0
/** Machine address of the TLB set of the current access mode. */
export const S_TLB = 0x0c4
/** Machine address of the slot table of the current code page. */
export const S_SLOTS = 0x0c8
/** Bits that select which code a page decodes to (`MODE_*`). */
export const S_MODE = 0x0cc
/** Current privilege level, 0–3. */
export const S_CPL = 0x0d0
/** `SHADOW_*`: what is inhibited until the next instruction has retired. */
export const S_SHADOW = 0x0d4
/** TLB misses since reset, 32 bits. */
export const S_TLB_MISSES = 0x0e0
/** Non-zero while a logged pass runs. */
export const S_LOGGED = 0x0e4

/**
 * `ATTENTION_ASKED`, not 0: something precedes the next instruction, an event or a look at what is mapped there. Generated code leaves at
 * the next taken branch; an instruction that calls a device or a handler is left as soon as it has retired.
 */
export const S_ATTENTION = 0x0e8
/** Vector of the exception that any SSE / x87 / MMX instruction raises now (6 or 7), or 0. From CR0 and CR4. */
export const S_SSE_GATE = 0x0ec
export const S_X87_GATE = 0x0f0
export const S_MMX_GATE = 0x0f4
/** The same for VEX-encoded instructions: on vector registers (from XCR0 too), and on general ones. */
export const S_AVX_GATE = 0x0d8
export const S_VEX_GATE = 0x0dc

/** Non-zero while no access has gone further than to the last device's page: see `slowAccess` in `semantics/library.ts`. */
export const S_MADE_AGAIN = 0x0fc

/** Segment registers, 32 bytes each: see `SEG_*`. Order ES CS SS DS FS GS LDTR TR GDTR IDTR. */
export const S_SEGMENTS = 0x100
/** Base, 64 bits. */
export const SEG_BASE = 0
/** Lowest offset that may be accessed, 32 bits (above 0 for expand-down segments; above `SEG_HIGH` for unusable ones). */
export const SEG_LOW = 8
/** Highest offset that may be accessed, 32 bits. */
export const SEG_HIGH = 12
/** The descriptor's limit in bytes. */
export const SEG_LIMIT = 16
/** The selector. */
export const SEG_SELECTOR = 20
/** Bits 15:0 as bits 55:40 of a descriptor (type, S, DPL, P, …, AVL, L, D/B, G). */
export const SEG_ATTRIBUTES = 24
/** `SEG_CAN_*`. */
export const SEG_RIGHTS = 28
/** Bytes of one segment register in the CPU’s state. */
export const SEG_BYTES = 32

export const SEG_CAN_READ = 1
export const SEG_CAN_WRITE = 2
/** Base 0, all of 4 GiB, readable and writable, D/B set: nothing to check, and a stack with 32-bit pointers. */
export const SEG_FLAT = 4

/** Number of ES in the CPU’s state. */
export const ES = 0
/** Number of CS in the CPU’s state. */
export const CS = 1
/** Number of SS in the CPU’s state. */
export const SS = 2
/** Number of DS in the CPU’s state. */
export const DS = 3
/** Number of FS in the CPU’s state. */
export const FS = 4
/** Number of GS in the CPU’s state. */
export const GS = 5
/** Number of LDTR in the CPU’s state. */
export const LDTR = 6
/** Number of TR in the CPU’s state. */
export const TR = 7
/** Number of GDTR in the CPU’s state. */
export const GDTR = 8
/** Number of IDTR in the CPU’s state. */
export const IDTR = 9

/** Control registers, 8 bytes each: CR0, CR2, CR3, CR4, CR8 and XCR0. */
export const S_CR0 = 0x240
/** Offset of CR2 in the CPU’s state. */
export const S_CR2 = 0x248
/** Offset of CR3 in the CPU’s state. */
export const S_CR3 = 0x250
/** Offset of CR4 in the CPU’s state. */
export const S_CR4 = 0x258
export const S_CR8 = 0x260
export const S_XCR0 = 0x268
/** DR0–DR3, DR6, DR7, 8 bytes each, by number (4 and 5 unused). */
export const S_DR = 0x270
/** PAE PDPTEs, 4 × 8 bytes. */
export const S_PDPTE = 0x2b0
/** Model-specific registers that the CPU itself holds, 8 bytes each. */
export const S_EFER = 0x2d0
export const S_STAR = 0x2d8
export const S_LSTAR = 0x2e0
export const S_CSTAR = 0x2e8
export const S_SFMASK = 0x2f0
export const S_KERNEL_GS_BASE = 0x2f8
export const S_SYSENTER_CS = 0x300
export const S_SYSENTER_ESP = 0x308
export const S_SYSENTER_EIP = 0x310
export const S_PAT = 0x318
export const S_TSC_OFFSET = 0x320
export const S_TSC_AUX = 0x328
export const S_XSS = 0x330
export const S_DEBUGCTL = 0x338

/** MXCSR, 32 bits. */
export const S_MXCSR = 0x340
/** x87: control word, status word without TOP, TOP (0–7), tags (one bit a physical register, 1 = empty), 32 bits each. */
export const S_FCW = 0x344
export const S_FSW = 0x348
export const S_FTOP = 0x34c
export const S_FTAG_EMPTY = 0x350
/** Last x87 opcode (11 bits), instruction and data pointers. */
export const S_FOP = 0x354
export const S_FIP = 0x358
export const S_FDP = 0x360
export const S_FCS = 0x368
export const S_FDS = 0x36c

/** The exception an instruction ends with: vector, error code, and whether it has one. CR2 value for #PF. */
export const S_FAULT_VECTOR = 0x370
export const S_FAULT_ERROR = 0x374
export const S_FAULT_HAS_ERROR = 0x378
export const S_FAULT_ADDRESS = 0x380
/** Number of the element that is being accessed, of instructions that make an access for each; else 0. 32 bits. */
export const S_ELEMENT = 0x37c
/** Effective linear address that generated code hands to a TypeScript handler; target that a unit is left for. */
export const S_EA = 0x388
/** Linear address of the page of registers that generated code reads by itself, 64 bits: see `buildSlowAccess`. */
export const S_REGISTER_PAGE = 0x390
/** S_TLB for which that holds; 0: there is no such page. 32 bits. */
export const S_REGISTER_SET = 0x398
/** The TLB's count of changes for which it holds. 32 bits. */
export const S_REGISTER_CHANGES = 0x39c
/** Machine address of the registers, 32 bits each. */
export const S_REGISTER_WORDS = 0x3a0
/** Bit i: the register at offset 16 · i of the page is the word of that number. 64 bits. */
export const S_REGISTER_MASK = 0x3a8
/** Not zero: the processor has AMD's rules. Set once; 32 bits. */
export const S_AMD = 0x3b0
/** `POINTERS_*`: when x87 error pointers are saved and restored. Set once; 32 bits. */
export const S_POINTER_RULES = 0x3b4
/** Up to 64 bytes between generated code and the slow access paths. */
export const S_DATA = 0x3c0

/** x87 registers R0–R7 (physical, not TOP-relative), 16 bytes each: significand, then sign and exponent (16 bits). MMn is the significand of Rn. */
export const S_FPR = 0x400
/** Vector registers 0–31, 64 bytes each, so that wider forms need no other layout. */
export const S_XMM = 0x480
/** Scratch for generated code, 256 bytes. */
export const S_SCRATCH = 0xc80
/** Two records, for instructions that are executed one at a time. */
export const S_PINNED = 0xd80

/** A record that generated code makes for itself on entry. */
export const S_ENTRY = 0xdc0
/** Why `fetch` gave no record: a status. */
export const S_FETCH_STATUS = 0x0f8
/** Mask of RIP in the current mode: low word all ones; high word all ones in 64-bit mode, else zero. 64 bits. */
export const S_RIP_MASK = 0xde0

/** Always 2^28: times 8, it moves RIP-relative displacements that would not fit 32 bits once relative to the page. */
export const S_TWO_TO_28 = 0xde8

/** By how much a shift left and back right leaves a canonical address alone: 16, or 7 with CR4.LA57. 64 bits. */
export const S_CANONICAL_SHIFT = 0xdf0

/** The next access by generated code has been made already: its data is in S_DATA. 32 bits. */
export const S_ANSWERED = 0xdf8

/** The charge for iterations of string instructions since `run` set it to zero, to S_BUDGET too. 32 bits. */
export const S_ITERATIONS = 0xdfc

/** Shift of the cost of iterations that are made a page at a time: each takes 2^-shift of S_BUDGET. 0 where a turn's end has to be exact. 32 bits. */
export const S_BULK_SHIFT = 0xf5c

/** Machine address of the line that MONITOR has armed; 0 for none. */
export const S_MONITOR_LINE = 0xfc0
/** Guest-physical address, 64 bits. */
export const S_MONITOR_ADDRESS = 0xfc8

/** PKRU, 32 bits: rights of users' pages by protection key. */
export const S_PKRU = 0xfb0
/** IA32_PKRS, 32 bits that exist: the same for supervisors' pages. */
export const S_PKRS = 0xfb4

/** TLB set of explicit accesses in the current mode: `TLB_USER` …; `TLB_MISS` where nothing is kept. 32 bits. */
export const S_ACCESS_SET = 0xfb8
/** S_MODE for which the execute table of each TLB set was filled, a byte each; then S_APX_GATE. */
export const S_EXECUTE_MODES = 0xfbc

/** Bytes of the state. Words about the TLB follow, which say nothing of what the guest sees. */
export const STATE_BYTES = 0x1000
/** `Tlb.changes`, 32 bits. */
export const S_TLB_CHANGES: number = STATE_BYTES + 0
/** Machine address of the TLB's sets, one for each access mode but `TLB_MISS`. 32 bits. */
export const S_TLB_BASE: number = STATE_BYTES + 4
/** Machine address of the lock that CMPXCHG16B takes; and one for a processor that has it for itself. 32 bits each. */
export const S_PAIR_LOCK: number = STATE_BYTES + 8
export const S_OWN_PAIR_LOCK: number = STATE_BYTES + 12
const RETURNS_BYTES: typeof engine.RETURNS_BYTES = 264
/** The ring of return addresses. */
export const S_RETURNS: number = STATE_BYTES + 16
/** Machine address of the counters of hot code, if there are any. 32 bits. */
export const S_COUNTERS: number = S_RETURNS + RETURNS_BYTES
/** Registers of extended features, which no other part of the state lies among. */
const EXTENDED: number = (S_COUNTERS + 4 + 63) & ~63
/** APX's general registers R16 to R31, 8 bytes each. */
export const S_EGPR: number = EXTENDED
/** State offset of a general register. */
export const generalOffset = (number: number): number => (number > 15 ? S_EGPR - 128 : S_GPR) + 8 * number
/** Opmask registers K0 to K7, 8 bytes each. */
export const S_OPMASK: number = EXTENDED + 0x80
/** Always all ones: the mask of an EVEX instruction that has none. 64 bits. */
export const S_NO_MASK: number = EXTENDED + 0xc0
/** IA32_XFD and IA32_XFD_ERR, 8 bytes each. */
export const S_XFD: number = EXTENDED + 0xc8
export const S_XFD_ERR: number = EXTENDED + 0xd0
/**
 * Vector of the exception that any instruction raises now, or 0: of EVEX on vectors and masks, VEX on masks; of APX; of tiles.
 * From CR0, CR4 and XCR0, 32 bits each.
 */
export const S_EVEX_GATE: number = EXTENDED + 0xd8
export const S_APX_GATE: number = EXTENDED + 0xdc
export const S_TILE_GATE: number = EXTENDED + 0xe0
/** IA32_PASID and IA32_USER_MSR_CTL, 8 bytes each. */
export const S_PASID: number = EXTENDED + 0xe8
export const S_USER_MSR_CTL: number = EXTENDED + 0xf0
/** TILECFG, 64 bytes as LDTILECFG reads them. */
export const S_TILECFG: number = EXTENDED + 0x100
/** Tiles TMM0 to TMM7, 1 KiB each: 16 rows of 64 bytes. */
export const S_TMM: number = EXTENDED + 0x140
/** Bytes of all of it. */
export const VCPU_BYTES: number = S_TMM + 0x2000

// S_POINTER_RULES.
/** FXSAVE and XSAVE save zeros unless an exception is pending. */
export const POINTERS_SAVED_PENDING = 1
/** FXRSTOR and XRSTOR leave them alone unless the image has a pending exception. */
export const POINTERS_RESTORED_PENDING = 2

// Kinds of S_FLAGS_KIND.
/** B holds CF, PF, AF, ZF, SF and OF as in RFLAGS; RESULT is zero if and only if ZF. */
export const FLAGS_EXPLICIT = 0
/** ZF, SF and PF from RESULT; CF, AF and OF in B at their RFLAGS positions. */
export const FLAGS_RESULT = 1
/** RESULT = A + B. */
export const FLAGS_ADD = 2
/** RESULT = A − B. Logic operations are this with A = RESULT, B = 0. */
export const FLAGS_SUB = 3
/** RESULT = A · B, signed, of which 64 bits are kept: CF = OF = 1 where the product has more. AF = 0. */
export const FLAGS_MULTIPLY = 4

// RFLAGS (Intel SDM vol. 1, "EFLAGS Register").
export const FLAG_CF: number = 1 << 0
export const FLAG_PF: number = 1 << 2
export const FLAG_AF: number = 1 << 4
export const FLAG_ZF: number = 1 << 6
export const FLAG_SF: number = 1 << 7
export const FLAG_TF: number = 1 << 8
export const FLAG_IF: number = 1 << 9
export const FLAG_DF: number = 1 << 10
export const FLAG_OF: number = 1 << 11
export const FLAG_IOPL: number = 3 << 12
export const FLAG_NT: number = 1 << 14
export const FLAG_RF: number = 1 << 16
export const FLAG_VM: number = 1 << 17
export const FLAG_AC: number = 1 << 18
export const FLAG_VIF: number = 1 << 19
export const FLAG_VIP: number = 1 << 20
export const FLAG_ID: number = 1 << 21
/** The six that are lazy. */
export const FLAGS_ARITHMETIC: number = FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF

/** All that exist, without bit 1. */
export const FLAGS_DEFINED: number =
  FLAGS_ARITHMETIC |
  FLAG_TF |
  FLAG_IF |
  FLAG_DF |
  FLAG_IOPL |
  FLAG_NT |
  FLAG_RF |
  FLAG_VM |
  FLAG_AC |
  FLAG_VIF |
  FLAG_VIP |
  FLAG_ID

// S_MODE: what the bytes of a code page decode to.
/** Default operand and address size: 16, 32 or 64 bits. */
export const MODE_16 = 0
/** Mode of code: 32-bit. */
export const MODE_32 = 1
/** Mode of code: 64-bit. */
export const MODE_64 = 2
/** Of a page alone: 16-bit code where branches in the page may wrap at 64 KiB, or lead out of the segment. */
export const MODE_16_EDGE = 4
/** Of a page alone: 64-bit code with APX, whose prefixes raise #UD elsewhere. Of all modes, the two of 64-bit code have the bit MODE_64. */
export const MODE_64_APX = 3

// S_EVENTS.
/** A maskable interrupt is pending. */
export const EVENT_INTERRUPT = 1
export const EVENT_NMI = 2
export const EVENT_INIT = 4
export const EVENT_SIPI = 8
/** A system-management interrupt. */
export const EVENT_SMI = 32
/** The owner wants `run` to return. */
export const EVENT_STOP = 16

// S_SHADOW.
/** After STI: maskable interrupts wait for one instruction. */
export const SHADOW_STI = 1
/** After MOV SS / POP SS: interrupts and debug traps wait for one instruction. */
export const SHADOW_MOV_SS = 2

// How an access ended, `STATUS_*` of `@retrap/replay`, and how an instruction ended that has made its accesses, the engine's: written
// out so that the bundler inlines them. V8 loads constants of other packages wherever they are used. Their types hold them to those.
/** The access has been made; the instruction has retired. */
export const STATUS_DONE: typeof engine.STATUS_DONE = 0
/** The exception in S_FAULT_* was raised; nothing else has changed. */
export const STATUS_FAULT: typeof engine.STATUS_FAULT = 1
/** Nothing has changed: a device has not answered yet; or it has, S_ANSWERED is set, and its instruction is to be executed alone. */
export const STATUS_RETRY: typeof engine.STATUS_RETRY = 2
/** The access has to be made in a logged pass; nothing has changed. */
export const STATUS_RESTART: typeof engine.STATUS_RESTART = 3
/** A broken invariant of ours: `Vcpu.run` returns an `error` exit. */
export const STATUS_ERROR: typeof engine.STATUS_ERROR = 12
/** The instruction has retired and S_RIP, the mode or the privilege level have changed. */
export const STATUS_JUMP: typeof engine.STATUS_JUMP = 4
/** The instruction has retired, and `run` must return to its owner or look at events before the next instruction. */
export const STATUS_EXIT: typeof engine.STATUS_EXIT = 5
/** A repeated string instruction made progress and is not finished: S_RIP stays on it. */
export const STATUS_CONTINUE: typeof engine.STATUS_CONTINUE = 6
/** The budget is used up, or attention was asked for; S_RIP is the next instruction. */
export const STATUS_LEAVE: typeof engine.STATUS_LEAVE = 7
/** The next instruction needs to be executed on its own, with checks that generated code does not make. */
export const STATUS_STEP: typeof engine.STATUS_STEP = 8
/** Generated code leaves the instruction to its TypeScript handler; nothing has changed. */
export const STATUS_HANDLER: typeof engine.STATUS_HANDLER = 9

/** The fields that the engine uses. */
export const STATE_LAYOUT: engine.StateLayout = {
  programCounter: S_RIP,
  programCounterBase: S_SEGMENTS + SEG_BYTES * CS + SEG_BASE,
  programCounterMask: S_RIP_MASK,
  mode: S_MODE,
  pageBase: S_PAGE_BASE,
  slots: S_SLOTS,
  record: S_RECORD,
  entry: S_ENTRY,
  budget: S_BUDGET,
  iterations: S_ITERATIONS,
  attention: S_ATTENTION,
  alone: S_LOGGED,
  tlb: S_TLB,
  counters: S_COUNTERS,
  unitTarget: S_EA,
  fetchStatus: S_FETCH_STATUS,
  returns: S_RETURNS,
}

/** Areas that hold nothing from one instruction to the next. */
const SCRATCH: engine.ScratchAreas = {
  areas: [
    [S_SCRATCH, 0x100],
    [S_DATA, 64],
    [S_EA, 8],
    [S_FAULT_VECTOR, 12],
    [S_FAULT_ADDRESS, 8],
  ],
  begun: [S_LOGGED, S_ANSWERED],
}
/** {@link STATE_LAYOUT} for tests that overwrite scratch areas between instructions. */
export const POISONED_LAYOUT: engine.StateLayout = { ...STATE_LAYOUT, poisoned: SCRATCH }

/**
 * The event that generated code delivers, in the area of data that an access has there: vector, error code, and `EVENT_*` bits.
 */
const EVENT = S_DATA
export const EVENT_VECTOR: number = EVENT
export const EVENT_ERROR: number = EVENT + 4
export const EVENT_FLAGS: number = EVENT + 8

/** Bit of {@link EVENT_FLAGS}: an error code is pushed. */
export const EVENT_HAS_ERROR = 1
/** Bit of {@link EVENT_FLAGS}: RF in the pushed image of RFLAGS is set. */
export const EVENT_RESUMES = 2

/** Geometry of the TLB: the engine's values, written out as above. */
export const TLB_READ: typeof engine.TLB_READ = 0
export const TLB_WRITE_OFFSET: typeof engine.TLB_WRITE = 0x40000
export const TLB_INDEX_MASK: typeof engine.TLB_INDEX_MASK = 0x3fff0
export const TLB_SET_BYTES: typeof engine.TLB_SET_BYTES = 0xc0000

/**
 * Access modes, each with a TLB set of its own: what selects an access's permissions beside the guest's page tables and
 * the state that flushes the TLB when it changes.
 */
export const TLB_USER = 0
/** Supervisor, where SMAP does not apply: CR4.SMAP = 0, or RFLAGS.AC = 1. */
export const TLB_SUPERVISOR = 1
/** Supervisor under SMAP. */
export const TLB_SUPERVISOR_SMAP = 2
/** The TLB's miss set, which holds nothing: logged passes, data breakpoints, alignment checks. */
export const TLB_MISS = 3
/** Access modes whose translations are kept. */
export const TLB_MODES = 3
/** Bytes of those sets. */
export const TLB_SETS_BYTES: number = TLB_MODES * TLB_SET_BYTES
