/*
 * Names and numbers of the local APIC. Source: Intel SDM vol. 3A, ch. "Advanced Programmable Interrupt Controller
 * (APIC)": "Local APIC Register Address Map", "Local Vector Table", "Interrupt Command Register", "x2APIC Register
 * Address Space".
 */

// Offsets in the 4 KiB register page; the x2APIC MSR of a register is 0x800 + offset/16.

/** Offset of the local APIC ID register. */
export const APIC_ID = 0x020
/** Offset of the version register. */
export const APIC_VERSION = 0x030
/** Offset of the task-priority register. */
export const APIC_TPR = 0x080
/** Offset of the arbitration-priority register, which reads 0. */
export const APIC_APR = 0x090
/** Offset of the processor-priority register. */
export const APIC_PPR = 0x0a0
/** Offset of the end-of-interrupt register. */
export const APIC_EOI = 0x0b0
/** Offset of the logical destination register. */
export const APIC_LDR = 0x0d0
/** Offset of the destination format register. */
export const APIC_DFR = 0x0e0
/** Offset of the spurious-interrupt vector register. */
export const APIC_SVR = 0x0f0
/** Offset of the first of eight in-service registers. */
export const APIC_ISR = 0x100
/** Offset of the first of eight trigger-mode registers. */
export const APIC_TMR = 0x180
/** Offset of the first of eight interrupt-request registers. */
export const APIC_IRR = 0x200
/** Offset of the error status register. */
export const APIC_ESR = 0x280
/** Offset of the LVT entry for corrected machine checks. */
export const APIC_LVT_CMCI = 0x2f0
/** Offset of the low word of the interrupt command register. */
export const APIC_ICR = 0x300
/** Offset of the high word of the interrupt command register. */
export const APIC_ICR2 = 0x310
/** Offset of the LVT entry of the timer. */
export const APIC_LVT_TIMER = 0x320
/** Offset of the LVT entry of the thermal monitor. */
export const APIC_LVT_THERMAL = 0x330
/** Offset of the LVT entry of performance counters. */
export const APIC_LVT_PMC = 0x340
/** Offset of the LVT entry of LINT0. */
export const APIC_LVT_LINT0 = 0x350
/** Offset of the LVT entry of LINT1. */
export const APIC_LVT_LINT1 = 0x360
/** Offset of the LVT entry for errors. */
export const APIC_LVT_ERROR = 0x370
/** Offset of the initial-count register. */
export const APIC_TMICT = 0x380
/** Offset of the current-count register. */
export const APIC_TMCCT = 0x390
/** Offset of the divide-configuration register. */
export const APIC_TDCR = 0x3e0

/** Index of the MSR IA32_APIC_BASE. */
export const MSR_APIC_BASE = 0x1b
/** Bit of IA32_APIC_BASE: the bootstrap processor. */
export const APIC_BASE_BSP: number = 1 << 8
/** Bit of IA32_APIC_BASE: x2APIC mode. */
export const APIC_BASE_EXTD: number = 1 << 10
/** Bit of IA32_APIC_BASE: the APIC is on. */
export const APIC_BASE_EN: number = 1 << 11
/** Guest-physical address of the register page after reset. */
export const APIC_BASE_ADDRESS = 0xfee0_0000
/** Index of the MSR IA32_TSC_DEADLINE. */
export const MSR_TSC_DEADLINE = 0x6e0
/** Index of the first MSR of the x2APIC. */
export const MSR_X2APIC_FIRST = 0x800
/** Index of the last MSR of the x2APIC. */
export const MSR_X2APIC_LAST = 0x8ff

/** Bit of SVR: software has enabled the APIC. */
export const SVR_ENABLE: number = 1 << 8
/** Bit of SVR: no EOI broadcasts to the I/O APICs. */
export const SVR_SUPPRESS_EOI: number = 1 << 12

/** Bits of an LVT entry that hold the delivery mode. */
export const LVT_MODE = 0x700
/** Bit of an LVT entry: its level-triggered interrupt waits for an EOI. */
export const LVT_REMOTE_IRR: number = 1 << 14
/** Bit of an LVT entry: level-triggered. */
export const LVT_LEVEL: number = 1 << 15
/** Bit of an LVT entry: masked. */
export const LVT_MASKED: number = 1 << 16
/** Bits of the LVT timer entry that select the mode. */
export const LVT_TIMER_MODE: number = 3 << 17
/** Value of {@link LVT_TIMER_MODE}: periodic. */
export const LVT_TIMER_PERIODIC: number = 1 << 17
/** Value of {@link LVT_TIMER_MODE}: TSC deadline. */
export const LVT_TIMER_TSC_DEADLINE: number = 2 << 17

/** Bit of ESR: an IPI with a vector below 16 was not sent. */
export const ESR_SEND_ILLEGAL_VECTOR: number = 1 << 5
/** Bit of ESR: a message or an LVT entry had a vector below 16. */
export const ESR_RECEIVED_ILLEGAL_VECTOR: number = 1 << 6
/** Bit of ESR: an access to an offset without a register. */
export const ESR_ILLEGAL_REGISTER: number = 1 << 7

// Delivery modes of ICR, LVT, redirection entries and messages, bits 10:8.

/** Delivery mode: the vector, to all destinations. */
export const DM_FIXED = 0
/** Delivery mode: the vector, to the destination of lowest priority. */
export const DM_LOWEST = 1
/** Delivery mode: SMI. */
export const DM_SMI = 2
/** Delivery mode: NMI. */
export const DM_NMI = 4
/** Delivery mode: INIT. */
export const DM_INIT = 5
/** Delivery mode: start-up message. */
export const DM_STARTUP = 6
/** Delivery mode: the vector is fetched from the i8259. */
export const DM_EXTINT = 7

/** Bit of ICR: the destination is logical. */
export const ICR_LOGICAL: number = 1 << 11
/** Bit of ICR: assert, not de-assert. */
export const ICR_LEVEL_ASSERT: number = 1 << 14
/** Bit of ICR: level-triggered. */
export const ICR_TRIGGER_LEVEL: number = 1 << 15

/** The lowest vector that an interrupt may have. */
export const FIRST_LEGAL_VECTOR = 16

/** A destination that all local APICs match. */
export const DESTINATION_ALL = 0xffff_ffff
/** An 8-bit destination in x2APIC width: 255 is everybody. */
export function wideDestination(destination: number): number {
  return destination === 0xff ? DESTINATION_ALL : destination
}

// Bits of `LocalApic.events()`.

/** Event: a vector of this APIC can be acknowledged. */
export const EVENT_INTERRUPT: number = 1 << 1
/** Event: a vector of the i8259 can be fetched. */
export const EVENT_EXTINT: number = 1 << 2
/** Event: an NMI is pending. */
export const EVENT_NMI: number = 1 << 3
/** Event: an INIT is pending. */
export const EVENT_INIT: number = 1 << 4
/** Event: a start-up message is pending. */
export const EVENT_SIPI: number = 1 << 5
/** Event: an SMI is pending. */
export const EVENT_SMI: number = 1 << 6

/** Counts the bytes of machine memory that a local APIC's state takes. */
export const LOCAL_APIC_STATE_BYTES = 512
/** Words of the register page. */
export const REGISTER_WORDS = 64
/** Words of a register with a bit for each vector: IRR, ISR, TMR. */
export const VECTOR_WORDS = 8

/**
 * Words of a local APIC's state in its region of machine memory: registers by number, which is their offset / 16 and the
 * low byte of their MSR; then words of no register. Nothing outside this package depends on it: saved states name their
 * fields.
 */
export const W = {
  ID: 0x02,
  VERSION: 0x03,
  TPR: 0x08,
  APR: 0x09,
  PPR: 0x0a,
  EOI: 0x0b,
  RRD: 0x0c,
  LDR: 0x0d,
  DFR: 0x0e,
  SVR: 0x0f,
  ISR: 0x10,
  TMR: 0x18,
  IRR: 0x20,
  ESR: 0x28,
  LVT_CMCI: 0x2f,
  ICR: 0x30,
  ICR2: 0x31,
  LVT_TIMER: 0x32,
  LVT_THERMAL: 0x33,
  LVT_PMC: 0x34,
  LVT_LINT0: 0x35,
  LVT_LINT1: 0x36,
  LVT_ERROR: 0x37,
  TMICT: 0x38,
  TMCCT: 0x39,
  TDCR: 0x3e,
  SELF_IPI: 0x3f,
  /** IA32_APIC_BASE. */
  BASE_LO: 64,
  BASE_HI: 65,
  /** `EVENT_*` bits, with bit 0 for interrupt events that must be computed again. */
  EVENTS: 66,
  SIPI_VECTOR: 67,
  /** Errors since the last write of ESR. */
  ERRORS: 68,
  /** Levels of LINT0 and LINT1, bits 0 and 1. */
  LINT: 69,
  DEADLINE_LO: 72,
  DEADLINE_HI: 73,
  /** 1 when the one-shot count has expired. */
  TIMER_DONE: 74,
} as const
/**
 * Indices in doubles: the time at which the count, or the period that runs, began. Nanoseconds in two words of 32 bits, and
 * a rest below a nanosecond in parts of the denominator that a tick's length has. The time may lie before power-on.
 */
export const TIMER_START_LO = 48
export const TIMER_START_HI = 49
export const TIMER_START_REST = 50

/** Writable bits of each entry of the local vector table, by its number. */
export const LVT_WRITABLE: Readonly<Record<number, number>> = {
  [W.LVT_CMCI]: 0x107ff,
  [W.LVT_TIMER]: 0x700ff,
  [W.LVT_THERMAL]: 0x107ff,
  [W.LVT_PMC]: 0x107ff,
  [W.LVT_LINT0]: 0x1a7ff,
  [W.LVT_LINT1]: 0x1a7ff,
  [W.LVT_ERROR]: 0x100ff,
}
/** Delivery status and remote IRR: writing them does nothing, also in x2APIC mode. */
const LVT_READ_ONLY = (1 << 12) | LVT_REMOTE_IRR
/** Writable bits of the low ICR word. */
export const ICR_WRITABLE = 0xccfff

/** By number: 1 where every local APIC has a register in its page; LVT CMCI is optional. */
const IN_PAGE = new Uint8Array(REGISTER_WORDS)
for (const index of Object.values(W)) if (index < REGISTER_WORDS) IN_PAGE[index] = 1
IN_PAGE.fill(1, W.ISR, W.ESR)
IN_PAGE[W.LVT_CMCI] = 0
IN_PAGE[W.SELF_IPI] = 0

/** Whether the page has a register of this number. @param cmci - there is an LVT CMCI */
export function isInPage(index: number, cmci: boolean): boolean {
  return IN_PAGE[index] === 1 || (index === W.LVT_CMCI && cmci)
}

/** By number: 1 for stored registers of every local APIC; others are computed, or read 0. */
export const STORED: Uint8Array = IN_PAGE.slice()
for (const index of [W.VERSION, W.TPR, W.APR, W.PPR, W.EOI, W.RRD, W.TMCCT]) STORED[index] = 0

/** The same registers as bit masks. */
export const STORED_REGISTERS: { readonly lo: number; readonly hi: number } = { lo: storedFrom(0), hi: storedFrom(32) }

function storedFrom(first: number): number {
  let bits = 0
  for (let i = 0; i < 32; i++) bits |= STORED[first + i]! << i
  return bits >>> 0
}

/** Whether the x2APIC has an MSR of this number. @param cmci - there is an LVT CMCI */
export function isMsr(index: number, cmci: boolean): boolean {
  if (index === W.SELF_IPI) return true
  // The format is fixed, the ICR is one register, and the APIC bus is gone.
  const isGone = index === W.DFR || index === W.ICR2 || index === W.APR || index === W.RRD
  return !isGone && isInPage(index, cmci)
}

/**
 * Whether a value may be written to the MSR: the register is writable, and no reserved bit is set.
 *
 * @param svrWritable - implemented bits of the spurious-vector register
 */
export function isMsrWriteAllowed(index: number, lo: number, hi: number, svrWritable: number): boolean {
  // Delivery status is gone from the ICR; software that writes it back is forgiven.
  if (index === W.ICR) return (lo & ~(ICR_WRITABLE | (1 << 12))) === 0
  if (hi !== 0) return false
  switch (index) {
    case W.TPR:
    case W.SELF_IPI:
      return (lo & ~0xff) === 0
    case W.EOI:
    case W.ESR:
      return lo === 0
    case W.SVR:
      return (lo & ~svrWritable) === 0
    case W.TDCR:
      return (lo & ~0xb) === 0
    case W.TMICT:
      return true
    default: {
      const writable = LVT_WRITABLE[index]
      return writable !== undefined && (lo & ~(writable | LVT_READ_ONLY)) === 0
    }
  }
}
