import type { ScratchAreas, StateLayout } from '@retrap/engine'

/** The state of a processor in machine memory: byte offsets. Names are the manual's. */

/** X0 to X30, 64 bits each. */
export const S_X = 0
/** The stack pointer of the current exception level and SPSel, where encodings that mean it would have register 31. */
export const S_SP = 248
/** The value of the zero register: always 0. */
export const S_ZERO = 256
/** The place that writes to the zero register go to. */
export const S_SINK = 264
/** Address of the next instruction. In AArch32 bit 0 is PSTATE.T: the instruction is Thumb's. */
export const S_PC = 272
/** Linear address of the code page that is being executed. */
export const S_PAGE_BASE = 280
/** PSTATE.N is the sign of these 64 bits. */
export const S_FLAG_N = 288
/** PSTATE.Z is set where these 64 bits are zero. */
export const S_FLAG_Z = 296
/** PSTATE.C, 0 or 1, 32 bits. */
export const S_FLAG_C = 304
/** PSTATE.V, 0 or 1, 32 bits. */
export const S_FLAG_V = 308
/** The fields of the engine: `StateLayout`. */
export const S_UNIT_TARGET = 312
export const S_SLOTS = 320
export const S_RECORD = 324
export const S_BUDGET = 328
export const S_ITERATIONS = 332
export const S_ATTENTION = 336
export const S_ALONE = 340
export const S_FETCH_STATUS = 348
/** Nonzero if the TLB may contain guarded pages, so that BR and BLR check their targets. 32 bits. */
export const S_GUARDS = 356
/** Floating-point control register. 32 bits. */
export const S_FPCR = 360
/** Floating-point status register. 32 bits. */
export const S_FPSR = 364
/** Exception that an instruction has raised: ESR_ELx with its class, IL and ISS; 0: none. 32 bits. */
export const S_FAULT_SYNDROME = 368
/** Machine address of the counters of hot code, if there are any. 32 bits. */
export const S_COUNTERS = 372
/** FAR_ELx of that exception. 64 bits. */
export const S_FAULT_ADDRESS = 376
/** The exclusive monitor: 0, the bytes that are marked, or {@link EXCLUSIVE_ELSEWHERE}. 32 bits. */
export const S_EXCLUSIVE_BYTES = 384
/** The marked address lies outside of memory, and the host knows it. More than any access has. */
export const EXCLUSIVE_ELSEWHERE = 256
/** Address, 64 bits. */
export const S_EXCLUSIVE_ADDRESS = 392
/** Bit n: the nth of `KEYS` is enabled (SCTLR_ELx.EnIA and so on). 32 bits. */
export const S_KEYS_ENABLED = 388
/** The events that others want of the processor: `EVENT_*`. 32 bits. */
export const S_EVENTS = 400
/** 0, or the awaited event, `WAIT_*`. 32 bits. */
export const S_WAITING = 344
/** Accesses that generated code could not finish, a count. 32 bits. */
export const S_SLOW_ACCESSES = 416
/**
 * The bits of pointers: bits of an address in bits 5:0, and `POINTER_TAGGED`; the same of the upper range in bits 15:8. 32 bits.
 */
export const S_POINTERS = 424
/** Bit of S_POINTERS: the upper byte of pointers to data is a tag; the next bit: of pointers to code. */
export const POINTER_TAGGED = 6
/** The word that barriers access, without effect. 32 bits. */
export const S_BARRIER = 420
/** PSTATE without condition flags, in SPSR_EL1's format: `PSTATE_*`. 32 bits. */
export const S_PSTATE = 428
/** The record that the dispatch loop writes for itself. */
export const S_ENTRY = 432
/** AArch32: slot for the value that an instruction reads or writes as R15. 64 bits. */
export const S_R15 = 472
/** AArch32: that as a multiple of 4, the base of literals. 64 bits. */
export const S_LITERAL = 408
/** AArch32: ITSTATE; 0 but in an IT block of Thumb. 32 bits. */
export const S_IT = 352
/** The value that the load-exclusive has seen in them, 128 bits. */
export const S_EXCLUSIVE_VALUE = 480
/** Keys of pointer authentication, 128 bits each, in the order of `KEYS`. */
export const S_KEYS = 496
/** The result of the last authentication of LDRAA and LDRAB, and the pointer before, 64 bits each; then the key, 32 bits. */
export const S_AUTHENTICATED = 608
/** Not 0: TLBI has been executed for other threads, which the next DSB waits for. 32 bits. */
export const S_SHOOTDOWN = 628
/**
 * The state of PSTATE.BTYPE in generated code: the rest of the budget after the last BR or BLR, and the type that it has set, 0
 * for none. It is PSTATE's for as long as that much is left. 32 bits each.
 */
export const S_BRANCH = 632
/** V0 to V31, 128 bits each. */
export const S_V = 640
/**
 * The stage of the fault that S_FAULT_SYNDROME tells of: 2 where it is taken to EL2, with HPFAR_EL2; {@link STAGE_2_BEYOND};
 * 1 of what is taken to EL2 without; else 0. 32 bits.
 */
export const S_FAULT_STAGE = 404
/** Stage 2, at the second page of an access. */
export const STAGE_2_BEYOND = 3
/** HPFAR_EL2 of a fault of stage 2. 64 bits. */
export const S_FAULT_HPFAR = 464
/** The fields that depend on the exception level and the rights of its accesses: {@link LEVEL_BYTES}, the fields that follow. */
export const S_LEVEL = 1152
/** Machine address of the TLB's set in use: see `StateLayout`. 32 bits. */
export const S_TLB = 1152
/** The TLB's set for accesses with the rights of EL0 (LDTR, STTR). 32 bits. */
export const S_TLB_UNPRIVILEGED = 1156
/** The rights of accesses: see `Translation`. 32 bits. */
export const S_RIGHTS = 1160
/** Mode of the code: `MODE_*`. 32 bits. */
export const S_MODE = 1164
/** Bits of the stack pointer that must be clear where it is a base register: 15, or 0 if SCTLR_ELx.SA does not ask for it. 32 bits. */
export const S_SP_ALIGNMENT = 1168
/** Trapped instructions: `TRAP_*`. 32 bits. */
export const S_TRAPS = 1172
/** Bytes of these fields together. */
export const LEVEL_BYTES = 24
/** The same for EL0, for EL1, and for EL1 with PSTATE.PAN; without PSTATE.UAO. */
export const S_LEVELS = 1176
/** Not 0: TypeScript takes all exceptions and returns from them. 32 bits. */
export const S_TAKES_EXCEPTIONS = 1248
/** The instructions that software step has executed; see `Debug`. 32 bits. */
export const S_STEPPED = 1252
/** Target of an authenticated return, or of a branch made by TypeScript. 64 bits. */
export const S_RETURN = 1256
/** The system registers of `SYSTEM_REGISTERS`, 64 bits each. */
export const S_SYSTEM = 1264
/** Scratch area of floating point in software, 256 bytes. */
export const S_FLOAT = 4096
/** The record of an instruction to execute alone, followed by a record that leaves. */
export const S_PINNED = 4032
/** Data of an access that generated code leaves to the host: at most what VLDM transfers, 128 bytes. */
export const S_DATA = 4352
/** Results of QARMA5, by {@link SIGNATURE_BYTES}: data, modifier, the key's halves, and the result; 0: none. */
export const S_SIGNATURES = 4480
export const SIGNATURES = 16384
export const SIGNATURE_BYTES = 64
/** The ring of return addresses: `RETURNS_BYTES` of the engine, in whole lines of 64 bytes. */
export const S_RETURNS: number = S_SIGNATURES + SIGNATURES * SIGNATURE_BYTES
/** All ones where other threads execute code of the memory; else 0. 32 bits. */
export const S_JOINED: number = S_RETURNS + 308
/** Machine address of the lock of 16-byte pairs: of {@link S_OWN_PAIR_LOCK}, or that of all threads. 32 bits each. */
export const S_PAIR_LOCK: number = S_RETURNS + 312
export const S_OWN_PAIR_LOCK: number = S_RETURNS + 316
/** Bytes before the sets of the TLB. */
export const S_TLB_SETS: number = S_RETURNS + 320

/** Bit of S_MODE: instructions of SIMD and floating point are trapped. */
export const MODE_NO_FP = 1
/** Bit of S_MODE: the code is A32. */
export const MODE_A32 = 2

/**
 * Bits of S_EVENTS: a fast interrupt, an interrupt, and an SError are signalled, in the order of their masks in PSTATE; the
 * owner wants the run to end.
 */
export const EVENT_FIQ = 1
export const EVENT_IRQ = 2
export const EVENT_SERROR = 4
export const EVENT_STOP = 8
/** Bit of S_EVENTS: the event register. */
export const EVENT_REGISTER = 16

/** Values of S_WAITING: WFI waits for an interrupt, masked or not; WFE for an event, or an interrupt that can be taken. */
export const WAIT_INTERRUPT = 1
export const WAIT_EVENT = 2
/** WFE waits for another party's store to the exclusively marked memory. */
export const WAIT_MONITOR = 3

/** Bits of S_TRAPS: DC ZVA; cache maintenance by address, to the points of coherency and of unification. */
export const TRAP_ZERO = 1
export const TRAP_COHERENCY = 2
export const TRAP_UNIFICATION = 4

/** The engine's view of the state. */
export const STATE_LAYOUT: StateLayout = {
  programCounter: S_PC,
  mode: S_MODE,
  pageBase: S_PAGE_BASE,
  slots: S_SLOTS,
  record: S_RECORD,
  entry: S_ENTRY,
  budget: S_BUDGET,
  iterations: S_ITERATIONS,
  attention: S_ATTENTION,
  alone: S_ALONE,
  tlb: S_TLB,
  counters: S_COUNTERS,
  unitTarget: S_UNIT_TARGET,
  fetchStatus: S_FETCH_STATUS,
  returns: S_RETURNS,
}

/** Areas that hold nothing from one instruction to the next. */
const SCRATCH: ScratchAreas = {
  areas: [
    [S_FLOAT, 0x100],
    [S_DATA, 128],
    [S_SINK, 8],
    [S_UNIT_TARGET, 8],
    [S_FAULT_ADDRESS, 8],
    [S_FAULT_HPFAR, 8],
    [S_RETURN, 8],
  ],
  begun: [S_ALONE],
}
/** {@link STATE_LAYOUT} for tests that overwrite scratch areas between instructions. */
export const POISONED_LAYOUT: StateLayout = { ...STATE_LAYOUT, poisoned: SCRATCH }
