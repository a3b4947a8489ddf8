import { VECTOR_MF } from '../../state/vectors.ts'
import * as S from '../../state/state-layout.ts'
import { initialiseX87, setStatusWord, stackRegister, statusWord, summariseExceptions } from './fpu-image.ts'
import { gated, type Handler } from '../operands.ts'
import type { System } from '../system.ts'

/** FSW.ES: an exception is pending that FCW does not mask. */
const FSW_ES = 0x80
/** FCW: all six exceptions masked. */
const FCW_MASKS = 0x3f

const TAG_VALID = 0
const TAG_ZERO = 1
const TAG_SPECIAL = 2
const TAG_EMPTY = 3

/** #NM, as CR0.EM and CR0.TS have it. */
function requireX87(s: System): void {
  const vector = s.get(S.S_X87_GATE)
  if (vector !== 0) s.raisePlain(vector)
}

/** #MF for the exception that an earlier instruction left pending: "waiting" instructions look at it first. */
export function checkPendingX87(s: System): void {
  if ((s.get(S.S_FSW) & FSW_ES) !== 0) s.raisePlain(VECTOR_MF)
}

/** Both, for FLDENV and FRSTOR. */
function enterX87(s: System): void {
  requireX87(s)
  checkPendingX87(s)
}

/** The tag word: two bits for each physical register (SDM vol. 1, "x87 FPU Tag Word"). */
function tagWord(s: System): number {
  const top = (statusWord(s) >>> 11) & 7
  let word = 0
  for (let i = 0; i < 8; i++) {
    // Register i is ST(i − TOP).
    word |= tagOf(s, i, stackRegister(s, (i - top) & 7)) << (2 * i)
  }
  return word
}

function tagOf(s: System, register: number, at: number): number {
  if (((s.get(S.S_FTAG_EMPTY) >>> register) & 1) !== 0) return TAG_EMPTY
  const exponent = s.u16[(at + 8) >>> 1]! & 0x7fff
  const lo = s.get(at)
  const hi = s.get(at + 4)
  if (exponent === 0) return (lo | hi) === 0 ? TAG_ZERO : TAG_SPECIAL
  if (exponent === 0x7fff) return TAG_SPECIAL
  // Without an integer bit it is an unsupported format.
  return (hi & 0x8000_0000) === 0 ? TAG_SPECIAL : TAG_VALID
}

function setTagWord(s: System, word: number): void {
  let empty = 0
  for (let i = 0; i < 8; i++) if (((word >>> (2 * i)) & 3) === TAG_EMPTY) empty |= 1 << i
  s.set(S.S_FTAG_EMPTY, empty)
}

/** Words of the environment, each 16 or 32 bits in memory. */
const words = new Uint32Array(7)

/**
 * The seven words of the environment, in one of four layouts: 16 or 32 bits, protected or real-address (and
 * virtual-8086) mode.
 *
 * Source: SDM vol. 1, figures "Protected Mode x87 FPU State Image in Memory, 32-Bit Format" and its three neighbours.
 */
function takeEnvironment(s: System, size: number): void {
  // Reserved halves of the 32-bit formats are stored as ones.
  const ones = size === 4 ? 0xffff_0000 : 0
  words[0] = s.get(S.S_FCW) | ones
  words[1] = statusWord(s) | ones
  words[2] = tagWord(s) | ones
  const opcode = s.get(S.S_FOP) & 0x7ff
  const real = s.realSegments
  if (!real) {
    words[3] = s.get(S.S_FIP)
    words[4] = (s.get(S.S_FCS) & 0xffff) | (size === 4 ? opcode << 16 : 0)
    words[5] = s.get(S.S_FDP)
    words[6] = (s.get(S.S_FDS) & 0xffff) | ones
    return
  }
  // 20-bit (in the 32-bit format 32-bit) linear pointers, the upper part from bit 12 on.
  const code = (s.get(S.S_FIP) + ((s.get(S.S_FCS) & 0xffff) << 4)) >>> 0
  const data = (s.get(S.S_FDP) + ((s.get(S.S_FDS) & 0xffff) << 4)) >>> 0
  const upper = size === 4 ? 0x0fff_f000 : 0xf000
  words[3] = (code & 0xffff) | ones
  words[4] = ((code >>> 4) & upper) | opcode
  words[5] = (data & 0xffff) | ones
  words[6] = (data >>> 4) & upper
}

function giveEnvironment(s: System, size: number): void {
  const w = (i: number): number => words[i]!
  s.set(S.S_FCW, (w(0) & 0x1f7f) | 0x40)
  setStatusWord(s, w(1) & 0xffff)
  setTagWord(s, w(2) & 0xffff)
  if (!s.realSegments) {
    s.set64(S.S_FIP, w(3), 0)
    s.set(S.S_FCS, w(4) & 0xffff)
    s.set(S.S_FOP, size === 4 ? (w(4) >>> 16) & 0x7ff : 0)
    s.set64(S.S_FDP, w(5), 0)
    s.set(S.S_FDS, w(6) & 0xffff)
  } else {
    const upper = size === 4 ? 0x0fff_f000 : 0xf000
    s.set64(S.S_FIP, (w(3) & 0xffff) | ((w(4) & upper) << 4), 0)
    s.set(S.S_FCS, 0)
    s.set(S.S_FOP, w(4) & 0x7ff)
    s.set64(S.S_FDP, (w(5) & 0xffff) | ((w(6) & upper) << 4), 0)
    s.set(S.S_FDS, 0)
  }
  summariseExceptions(s)
}

function readEnvironment(s: System, size: number): void {
  const lo = s.get(S.S_EA)
  const hi = s.get(S.S_EA + 4)
  for (let i = 0; i < 7; i++) words[i] = s.readAt(lo, hi, i * size, size)
}

function queueEnvironment(s: System, size: number): void {
  const lo = s.get(S.S_EA)
  const hi = s.get(S.S_EA + 4)
  takeEnvironment(s, size)
  for (let i = 0; i < 7; i++) s.writeAt(lo, hi, i * size, size, words[i]!)
}

/** 16-bit operand size has the 14-byte format, anything else the 28-byte one. */
function environmentSize(size: number): number {
  return size === 2 ? 2 : 4
}

// @isa: complete   D9 /6   FNSTENV   "SDM vol. 2A, FSTENV/FNSTENV"
const fnstenv: Handler = (s, _record, form) => {
  queueEnvironment(s, environmentSize(form.size))
  s.commit()
  s.set(S.S_FCW, s.get(S.S_FCW) | FCW_MASKS)
  summariseExceptions(s)
  return S.STATUS_DONE
}

// @isa: complete   D9 /4   FLDENV   "SDM vol. 2A, FLDENV"
const fldenv: Handler = (s, _record, form) => {
  const size = environmentSize(form.size)
  readEnvironment(s, size)
  giveEnvironment(s, size)
  return S.STATUS_DONE
}

// @isa: complete   DD /6   FNSAVE   "SDM vol. 2A, FSAVE/FNSAVE"
const fnsave: Handler = (s, _record, form) => {
  const size = environmentSize(form.size)
  const lo = s.get(S.S_EA)
  const hi = s.get(S.S_EA + 4)
  queueEnvironment(s, size)
  for (let i = 0; i < 8; i++) {
    const from = stackRegister(s, i)
    s.writeAt(lo, hi, 7 * size + 10 * i, 8, s.get(from), s.get(from + 4))
    s.writeAt(lo, hi, 7 * size + 10 * i + 8, 2, s.u16[(from + 8) >>> 1]!)
  }
  s.commit()
  initialiseX87(s)
  return S.STATUS_DONE
}

const registers = new Uint32Array(24)

// @isa: complete   DD /4   FRSTOR   "SDM vol. 2A, FRSTOR"
const frstor: Handler = (s, _record, form) => {
  const size = environmentSize(form.size)
  const lo = s.get(S.S_EA)
  const hi = s.get(S.S_EA + 4)
  readEnvironment(s, size)
  for (let i = 0; i < 8; i++) {
    const at = 7 * size + 10 * i
    registers[3 * i] = s.readAt(lo, hi, at, 8)
    registers[3 * i + 1] = s.hi
    registers[3 * i + 2] = s.readAt(lo, hi, at + 8, 2)
  }
  giveEnvironment(s, size)
  for (let i = 0; i < 8; i++) {
    const to = stackRegister(s, i)
    s.set64(to, registers[3 * i]!, registers[3 * i + 1]!)
    s.u16[(to + 8) >>> 1] = registers[3 * i + 2]!
  }
  return S.STATUS_DONE
}

export const fpuEnvironmentHandlers: Readonly<Record<string, Handler>> = {
  FNSTENV: gated(requireX87, fnstenv),
  FLDENV: gated(enterX87, fldenv),
  FNSAVE: gated(requireX87, fnsave),
  FRSTOR: gated(enterX87, frstor),
}
