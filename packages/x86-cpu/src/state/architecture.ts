/** Bits of control registers, descriptors and vectors' error codes, named as Intel SDM vol. 3A names them. */

import { CR0_CD, CR0_NW, CR0_PE, CR0_PG, CR0_WP } from '@retrap/paging'

// Control register bits that decide paging are paging's.
export {
  CR0_CD,
  CR0_NW,
  CR0_PE,
  CR0_PG,
  CR0_WP,
  CR4_LA57,
  CR4_PAE,
  CR4_PCIDE,
  CR4_PGE,
  CR4_PKE,
  CR4_PKS,
  CR4_PSE,
  CR4_SMAP,
  CR4_SMEP,
  EFER_LMA,
  EFER_LME,
  EFER_NXE,
} from '@retrap/paging'

// CR0 (SDM vol. 3A, "Control Registers").
/** CR0.MP: WAIT obeys CR0.TS. */
export const CR0_MP: number = 1 << 1
/** CR0.EM: there is no x87 unit. */
export const CR0_EM: number = 1 << 2
/** CR0.TS: the task has been switched. */
export const CR0_TS: number = 1 << 3
/** CR0.ET: always set. */
export const CR0_ET: number = 1 << 4
/** CR0.NE: x87 errors raise #MF. */
export const CR0_NE: number = 1 << 5
/** CR0.AM: EFLAGS.AC enables alignment checks. */
export const CR0_AM: number = 1 << 18
/** Bits that exist. Others read as zero; writes of them in the low half are ignored. */
export const CR0_DEFINED: number =
  CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG

// CR4.
export const CR4_VME: number = 1 << 0
export const CR4_PVI: number = 1 << 1
export const CR4_TSD: number = 1 << 2
export const CR4_DE: number = 1 << 3
export const CR4_MCE: number = 1 << 6
export const CR4_PCE: number = 1 << 8
/** CR4.OSFXSR: SSE and FXSAVE are enabled. */
export const CR4_OSFXSR: number = 1 << 9
/** CR4.OSXMMEXCPT: SSE errors raise #XM. */
export const CR4_OSXMMEXCPT: number = 1 << 10
export const CR4_UMIP: number = 1 << 11
export const CR4_FSGSBASE: number = 1 << 16
export const CR4_OSXSAVE: number = 1 << 18

// IA32_EFER.
/** IA32_EFER.SCE: SYSCALL and SYSRET. */
export const EFER_SCE: number = 1 << 0

// XCR0: state components of XSAVE. x87 can never be off, and AVX needs SSE.
export const XCR0_X87: number = 1 << 0
export const XCR0_SSE: number = 1 << 1
export const XCR0_AVX: number = 1 << 2
export const XCR0_PKRU: number = 1 << 9
/** Masks, upper halves of ZMM0 to ZMM15, ZMM16 to ZMM31: together and with AVX, or not at all. */
export const XCR0_AVX512 = 0xe0
/** State that EVEX needs. */
export const XCR0_EVEX: number = XCR0_SSE | XCR0_AVX | XCR0_AVX512
/** TILECFG and TILEDATA: together or not at all. */
export const XCR0_TILE: number = 3 << 17
export const XCR0_APX: number = 1 << 19

/** CR3 bits 11:0 with CR4.PCIDE: the process-context identifier. */
export const CR3_PCID = 0xfff
/** Bit 63 of a value for CR3 with CR4.PCIDE, in its high word: nothing is to be dropped. */
export const CR3_KEEP_HI = 0x8000_0000
/** Values that reserved bits have: DR6 31:16, 11:4 and DR7 bit 10 are ones; DR6 bit 12, DR7 bits 15:14 and 12 zeros. */
export const DR6_ONES = 0xffff_0ff0
export const DR6_WRITABLE = 0xe00f
export const DR7_ONES = 0x400
export const DR7_WRITABLE = 0xffff_23ff
/** DR6.BT: a switch to a task whose T flag is set. */
export const DR6_BT: number = 1 << 15

// Segment attributes as in SEG_ATTRIBUTES: bits 55:40 of a descriptor.
export const ATTR_TYPE = 0xf
/** Code or data segment. Clear: system segment or gate. */
export const ATTR_S: number = 1 << 4
export const ATTR_DPL_SHIFT = 5
export const ATTR_P: number = 1 << 7
/** 64-bit code segment. */
export const ATTR_L: number = 1 << 13
/** Default size 32 bits; of a stack segment: ESP rather than SP. */
export const ATTR_DB: number = 1 << 14
export const ATTR_G: number = 1 << 15

// Type field of code and data segments.
export const TYPE_ACCESSED = 1
/** Data: writable. */
export const TYPE_WRITABLE = 2
/** Code: readable. */
export const TYPE_READABLE = 2
/** Data: expand-down. */
export const TYPE_EXPAND_DOWN = 4
/** Code: conforming. */
export const TYPE_CONFORMING = 4
export const TYPE_CODE = 8

/** Attributes of a flat code segment as system calls load it; DPL and ATTR_L or ATTR_DB are added. */
export const FLAT_CODE: number = ATTR_P | ATTR_S | ATTR_G | TYPE_CODE | TYPE_READABLE | TYPE_ACCESSED
/** The same of a stack segment; the DPL is added. */
export const FLAT_STACK: number = ATTR_P | ATTR_S | ATTR_G | ATTR_DB | TYPE_WRITABLE | TYPE_ACCESSED

// Type field of system segments and gates (SDM vol. 3A, "System Descriptor Types").
export const SYSTEM_TSS16 = 1
export const SYSTEM_LDT = 2
export const SYSTEM_TSS16_BUSY = 3
export const SYSTEM_CALL_GATE16 = 4
export const SYSTEM_TASK_GATE = 5
export const SYSTEM_INTERRUPT_GATE16 = 6
export const SYSTEM_TRAP_GATE16 = 7
/** 32-bit TSS; 64-bit in IA-32e mode. */
export const SYSTEM_TSS = 9
export const SYSTEM_TSS_BUSY = 11
/** 32-bit call gate; 64-bit in IA-32e mode. */
export const SYSTEM_CALL_GATE = 12
export const SYSTEM_INTERRUPT_GATE = 14
export const SYSTEM_TRAP_GATE = 15
/** The bit that makes an available TSS type busy. */
export const TSS_BUSY_BIT = 2

// Error codes (SDM vol. 3A, "Error Code").
export const ERROR_IDT = 2

// General registers by number.
export const RAX = 0
export const RCX = 1
export const RDX = 2
export const RBX = 3
export const RSP = 4
export const RBP = 5
export const RSI = 6
export const RDI = 7
export const R11 = 11

/** RFLAGS bit 1: always set. */
export const FLAG_FIXED = 2

/** Bytes of a monitored range, which is aligned to its size: a cache line (CPUID leaf 5). */
export const MONITOR_LINE_BYTES = 64
