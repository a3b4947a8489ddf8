/** What the host's program (native.c) and the tested CPU (machine.ts) agree on: addresses, and the layout of cases. */

/** Linear address of the two data pages; everything else but code is unmapped. */
export const WINDOW = 0x1000_0000
export const WINDOW_BYTES = 0x2000
/** The part of the window that cases fill and compare: around the page boundary, so that operands cross it. */
export const BAND = WINDOW + 0xf00
export const BAND_BYTES = 0x200
/** Linear address of the code pages, which are read-only. Every byte that is not code is INT3. */
export const CODE = 0x2000_0000

/** Bytes of an FXSAVE image that a case holds: up to the end of XMM15. */
export const FX_BYTES = 416
/** Bytes of the upper halves of YMM0–YMM15, after it. */
export const YMM_BYTES = 256
/** Of the last x87 instruction: opcode, address, and that of its operand; 8 bytes each of the latter. */
export const FX_FOP = 6
export const FX_FIP = 8
export const FX_FDP = 16
export const FX_MXCSR = 24
export const FX_ST = 32
export const FX_XMM = 160

/** A case: offsets in bytes. */
export const IN_RIP = 0
/** CS, and in the upper half what DS and ES hold. */
export const IN_CS = 4
export const IN_RFLAGS = 8
/** `KEEP_*`: parts of the case that are what the one before left; 32 bits. */
export const IN_KEEP = 12
export const KEEP_GPR = 1
/** x87, MMX, SSE and AVX registers. */
export const KEEP_VECTORS = 2
export const KEEP_BAND = 4
/** RAX RCX RDX RBX RSP RBP RSI RDI R8…R15. */
export const IN_GPR = 16
export const IN_FX = 144
/** Upper halves of YMM0–YMM15. */
export const IN_YMM: number = IN_FX + FX_BYTES
export const IN_BAND: number = IN_YMM + YMM_BYTES
export const IN_BYTES: number = IN_BAND + BAND_BYTES

/** A result. */
export const OUT_VECTOR = 0
export const OUT_ERROR = 4
/** Valid for #PF. */
export const OUT_CR2 = 8
export const OUT_RIP = 16
export const OUT_RFLAGS = 24
export const OUT_GPR = 32
/** Non-zero if bytes of the window outside the band have changed. */
export const OUT_OUTSIDE = 160
export const OUT_CS = 164
export const OUT_FS_BASE = 168
export const OUT_GS_BASE = 176
/** SS, DS, ES, FS, GS: 16 bits each. */
export const OUT_SEGMENTS = 184
export const OUT_FX = 200
export const OUT_YMM: number = OUT_FX + FX_BYTES
export const OUT_BAND: number = OUT_YMM + YMM_BYTES
export const OUT_BYTES: number = OUT_BAND + BAND_BYTES

/** Code segments of the Linux ABI: 64-bit mode, and compatibility mode with 32-bit defaults. */
export const CS_64 = 0x33
export const CS_32 = 0x23
export const USER_DATA = 0x2b
/**
 * Segments of a local descriptor table: 16-bit code at CODE, data and a stack with 16-bit pointers at WINDOW, and the same
 * data read-only; 64 KiB each.
 */
export const CS_16 = 0x0f
export const DATA_16 = 0x17
export const READ_ONLY_16 = 0x1f

/** What far transfers go to, now and then: user code of all sizes, and what is no such thing. */
export const CODE_SELECTORS: readonly number[] = [
  CS_32,
  CS_64,
  CS_16,
  CS_32,
  CS_64,
  CS_16,
  USER_DATA,
  DATA_16,
  0,
  0x20,
  0x10,
  0x13,
  0x1f,
]
/** Far transfers from 16-bit code: a far CALL from there to 64-bit code hangs on the host, in an endless page fault. */
export const CODE_SELECTORS_16: readonly number[] = CODE_SELECTORS.filter((selector) => selector !== CS_64)
/** What is loaded into data segment registers: data and code, of the user and the kernel, null, and beyond the table. */
export const DATA_SELECTORS: readonly number[] = [
  USER_DATA,
  DATA_16,
  USER_DATA,
  0,
  CS_32,
  CS_16,
  0x28,
  0x16,
  0x18,
  0x1b,
  0x10,
  0x0b,
  0x1f,
  0x107,
]

/** Default operand and address size of the code. */
export type Mode = 16 | 32 | 64
export const MODES: readonly Mode[] = [64, 32, 16]

/**
 * Those of some selectors that do not depend on modes in which a host runs no code: it may be without their descriptors.
 *
 * @param modes - in which it runs code
 */
export function selectorsFor(selectors: readonly number[], modes: readonly Mode[]): readonly number[] {
  return selectors.filter(
    (selector) => (modes.includes(16) || (selector & 4) === 0) && (modes.includes(32) || selector >> 3 !== CS_32 >> 3),
  )
}

export function selectorOf(mode: Mode): number {
  return mode === 64 ? CS_64 : mode === 32 ? CS_32 : CS_16
}

/** Some cases and the code that they run. */
export interface Batch {
  /** What is at CODE. */
  readonly code: Uint8Array
  readonly count: number
  /** `count` times IN_BYTES. */
  readonly cases: Uint8Array
}
