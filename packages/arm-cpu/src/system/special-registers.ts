import { FPCR_BITS, FPSR_BITS } from '../state/float-rules.ts'
import type { SystemValue } from '../state/host.ts'
import { PSTATE_DAIF, PSTATE_DIT, PSTATE_EL, PSTATE_PAN, PSTATE_SP, PSTATE_SSBS, PSTATE_UAO } from '../state/pstate.ts'
import { EVENT_FIQ, EVENT_IRQ, EVENT_SERROR, S_EVENTS, S_FPCR, S_FPSR, S_SP } from '../state/state-layout.ts'
import { SCTLR_DZE } from '../state/controls.ts'
import { S_CSSELR_EL1, S_DBGCLAIM_EL1, S_OSLSR_EL1, S_SCTLR_EL1, S_SP_EL0 } from '../state/places.ts'
import type { SystemState } from '../state/system-state.ts'

/** A system register with side effects. Reads and writes return whether the register exists. */
export interface SpecialRegister {
  readonly read: (s: SystemState, into: SystemValue) => boolean
  readonly write?: (s: SystemState, value: SystemValue) => boolean
}

const give = (into: SystemValue, lo: number): true => {
  into.lo = lo >>> 0
  into.hi = 0
  return true
}

/** Fields of PSTATE as a register. */
const fields = (mask: number): SpecialRegister => ({
  read: (s, into) => give(into, s.pstate & mask),
  write(s, { lo }) {
    s.setPstate((s.pstate & ~mask) | (lo & mask))
    return true
  },
})

/** Returns a register that is a word of the state with some writable bits. */
const word = (place: number, kept: number): SpecialRegister => ({
  read: (s, into) => give(into, s.word(place)),
  write(s, { lo }) {
    s.setWord(place, lo & kept)
    return true
  },
})

/** DC ZVA clears 64 bytes; the next bit says that it is trapped. */
const ZERO_BLOCK = 4
const ZERO_TRAPPED = 1 << 4

/** L1, 32 KiB of data and of instructions each: 4 ways of 128 sets of 64 bytes. */
const L1_CACHE = (127 << 13) | (3 << 3) | 2

/** OS lock: locked; implemented; its state is known to be OSLSR_EL1.OSLK. */
const LOCKED = 1 << 1
const LOCK_MODEL = 1 << 3
/** Claim tags of a debugger. */
const CLAIMS = 0xff

export const SPECIAL_REGISTERS: Readonly<Record<string, SpecialRegister>> = {
  nzcv: {
    read: (s, into) => give(into, s.flags),
    write(s, { lo }) {
      s.flags = lo
      return true
    },
  },
  daif: fields(PSTATE_DAIF),
  dit: fields(PSTATE_DIT),
  ssbs: fields(PSTATE_SSBS),
  pan: fields(PSTATE_PAN),
  uao: fields(PSTATE_UAO),
  spsel: fields(PSTATE_SP),
  currentel: { read: (s, into) => give(into, s.pstate & PSTATE_EL) },
  fpcr: word(S_FPCR, FPCR_BITS),
  fpsr: word(S_FPSR, FPSR_BITS),
  // The stack pointer in use cannot be accessed by its own name.
  sp_el0: {
    read(s, into) {
      if (s.placeOfStack(0) === S_SP) return false
      into.lo = s.word(S_SP_EL0)
      into.hi = s.word(S_SP_EL0 + 4)
      return true
    },
    write(s, { lo, hi }) {
      if (s.placeOfStack(0) === S_SP) return false
      s.setWord(S_SP_EL0, lo)
      s.setWord(S_SP_EL0 + 4, hi)
      return true
    },
  },
  // Masks of IRQ, FIQ and SError, at PSTATE's positions.
  isr_el1: {
    read: (s, into) => give(into, (s.word(S_EVENTS) & (EVENT_FIQ | EVENT_IRQ | EVENT_SERROR)) << 6),
  },
  dczid_el0: {
    read(s, into) {
      const isTrapped = s.level === 0 && (s.word(S_SCTLR_EL1) & SCTLR_DZE) === 0
      return give(into, ZERO_BLOCK | (isTrapped ? ZERO_TRAPPED : 0))
    },
  },
  ccsidr_el1: { read: (s, into) => give(into, s.word(S_CSSELR_EL1) < 2 ? L1_CACHE : 0) },
  oslar_el1: {
    read: () => false,
    write(s, { lo }) {
      s.setWord(S_OSLSR_EL1, LOCK_MODEL | ((lo & 1) === 0 ? 0 : LOCKED))
      return true
    },
  },
  dbgclaimset_el1: {
    read: (_s, into) => give(into, CLAIMS),
    write(s, { lo }) {
      s.setWord(S_DBGCLAIM_EL1, s.word(S_DBGCLAIM_EL1) | (lo & CLAIMS))
      return true
    },
  },
  dbgclaimclr_el1: {
    read: (s, into) => give(into, s.word(S_DBGCLAIM_EL1)),
    write(s, { lo }) {
      s.setWord(S_DBGCLAIM_EL1, s.word(S_DBGCLAIM_EL1) & ~lo)
      return true
    },
  },
}
