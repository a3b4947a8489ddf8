import { PAGE_BYTES } from '@retrap/memory'
import { SLOW_PROBE, SLOW_WRITE } from '../state/host.ts'
import type { Form } from '../state/form.ts'
import * as S from '../state/state-layout.ts'
import { RAX, RCX, RDI, RSI } from '../state/architecture.ts'
import { matchPortBreakpoints } from './breakpoints.ts'
import { REPEAT_FILL, REPEAT_MOVE } from './cpu.ts'
import { segmentOf, type Handler } from './operands.ts'
import type { System } from './system.ts'
import { SMBASE_RESET, S_SMBASE } from '../state/system-state.ts'

/**
 * Repeated string instructions that meet a device: several iterations go to the device as one request, as far as they lie
 * in one page on each side. Other iterations are executed one by one.
 */

/** The part of a register that an address size uses, low word. */
export function lowPart(value: number, width: number): number {
  return width === 2 ? value & 0xffff : value
}

function goesDown(s: System): boolean {
  return (s.get(S.S_EFLAGS) & S.FLAG_DF) !== 0
}

/** Moves an index register by some elements, in the direction of DF. */
function step(s: System, register: number, width: number, bytes: number): void {
  const sum = s.gpr(register) + (goesDown(s) ? -bytes : bytes)
  const carry = sum > 0xffff_ffff ? 1 : sum < 0 ? -1 : 0
  s.setGpr(register, width, sum >>> 0, (s.gprHi(register) + carry) >>> 0)
}

function countIsZero(s: System, width: number): boolean {
  return lowPart(s.gpr(RCX), width) === 0 && (width !== 8 || s.gprHi(RCX) === 0)
}

/** A repeated instruction with a count of zero does nothing. */
export function nothingToRepeat(s: System, form: Form): boolean {
  return form.repeat !== 'none' && countIsZero(s, form.addressSize)
}

/** Ends some iterations, which have used an index register: the status tells whether there are more. */
export function iterated(s: System, form: Form, count: number, register: number): number {
  const width = form.addressSize
  step(s, register, width, count * form.size)
  if (form.repeat === 'none') return S.STATUS_DONE
  s.countIterations(count)
  const lo = s.gpr(RCX) - count
  s.setGpr(RCX, width, lo >>> 0, (s.gprHi(RCX) - (lo < 0 ? 1 : 0)) >>> 0)
  return countIsZero(s, width) ? S.STATUS_DONE : S.STATUS_CONTINUE
}

/**
 * Iterations that one request may cover: as many as RCX says, but within one page, the segment and the index register, and
 * only one while single-stepping. Leaves the first element's linear address in `linLo` and `linHi`.
 */
function reach(s: System, form: Form, segment: number, register: number, write: boolean, most: number): number {
  const { size, addressSize: width } = form
  const offset = lowPart(s.gpr(register), width)
  if (form.repeat === 'none' || (s.get(S.S_EFLAGS) & S.FLAG_TF) !== 0 || !s.cpu.mayRepeat()) return 0
  const wide = width === 8 && s.gprHi(RCX) !== 0
  let count = Math.min(most, s.cpu.affordableIterations(), wide ? PAGE_BYTES : lowPart(s.gpr(RCX), width))
  const down = goesDown(s)
  if (!s.mode64) {
    // An element that is not within the segment is left to the one that faults.
    const low = s.segmentField(segment, S.SEG_LOW)
    const last = s.segmentField(segment, S.SEG_HIGH)
    if (offset < low || offset + size - 1 > last) return 0
    count = Math.min(count, down ? Math.floor((offset - low) / size) + 1 : Math.floor((last - offset + 1) / size))
  }
  if (width !== 8) {
    const end = width === 2 ? 0x1_0000 : 0x1_0000_0000
    count = Math.min(count, down ? Math.floor(offset / size) + 1 : Math.floor((end - offset) / size))
  }
  s.linear(segment, offset, width === 8 ? s.gprHi(register) : 0, size, write)
  const within = s.linLo & (PAGE_BYTES - 1)
  if (within + size > PAGE_BYTES) return 0
  return Math.min(count, down ? Math.floor(within / size) + 1 : Math.floor((PAGE_BYTES - within) / size))
}

/**
 * Makes `count` iterations as one request, between a port or `other` and the memory that `linLo` and `linHi` have.
 *
 * @returns how many; 0: make the next one alone
 */
function request(s: System, port: number, otherLo: number, otherHi: number, flags: number, count: number): number {
  const { iterations } = s
  iterations.port = port
  iterations.otherLo = otherLo
  iterations.otherHi = otherHi
  iterations.lo = s.linLo
  iterations.hi = s.linHi
  iterations.flags = flags
  iterations.count = count
  iterations.down = goesDown(s)
  const made = s.cpu.repeat(iterations)
  if (made < 0) s.check(-made)
  return made
}

/**
 * Several iterations of INS (SLOW_WRITE) or OUTS as one request. Each is made alone where firmware has set up SMIs: a
 * chipset's SMI comes after the very iteration that causes it, and its handler may have that one made again.
 *
 * @returns how many; 0: make the next one alone
 */
export function repeatPort(
  s: System,
  form: Form,
  port: number,
  segment: number,
  register: number,
  flags: number,
): number {
  // Only a logged pass makes requests.
  if (s.get(S.S_LOGGED) !== 1 || s.get(S_SMBASE) !== SMBASE_RESET) return 0
  const count = reach(s, form, segment, register, (flags & SLOW_WRITE) !== 0, PAGE_BYTES)
  if (count < 2) return 0
  const made = request(s, port, 0, 0, flags, count)
  if (made > 0) matchPortBreakpoints(s, port, flags & 0xff)
  return made
}

/** Ends iterations of MOVS. */
function moved(s: System, form: Form, count: number): number {
  step(s, RSI, form.addressSize, count * form.size)
  return iterated(s, form, count, RDI)
}

// @isa: complete   A4 A5   MOVS   "SDM vol. 2B, MOVS/MOVSB/MOVSW/MOVSD/MOVSQ"; repeated, in a logged pass
const moveString: Handler = (s, record, form) => {
  const { size, addressSize } = form
  if (nothingToRepeat(s, form)) return S.STATUS_DONE
  const from = segmentOf(s, record)
  let count = reach(s, form, from, RSI, false, PAGE_BYTES)
  const [sourceLo, sourceHi] = [s.linLo, s.linHi]
  if (count >= 2) count = reach(s, form, S.ES, RDI, true, count)
  if (count >= 2) {
    const made = request(s, REPEAT_MOVE, sourceLo, sourceHi, size | SLOW_WRITE, count)
    if (made > 0) return moved(s, form, made)
  }
  s.linear(from, lowPart(s.gpr(RSI), addressSize), addressSize === 8 ? s.gprHi(RSI) : 0, size, false)
  const [lo, hi] = [s.linLo, s.linHi]
  s.linear(S.ES, lowPart(s.gpr(RDI), addressSize), addressSize === 8 ? s.gprHi(RDI) : 0, size, true)
  const [toLo, toHi] = [s.linLo, s.linHi]
  // The destination is checked before a device is read, which cannot be read again.
  s.check(s.cpu.access(lo, hi, size | SLOW_PROBE))
  s.check(s.cpu.access(toLo, toHi, size | SLOW_WRITE | SLOW_PROBE))
  s.read(lo, hi, size, 0)
  s.write(toLo, toHi, size, s.lo, s.hi, 0)
  s.commit()
  return moved(s, form, 1)
}

// @isa: complete   AA AB   STOS   "SDM vol. 2B, STOS/STOSB/STOSW/STOSD/STOSQ"; repeated, in a logged pass
const storeString: Handler = (s, _record, form) => {
  const { size, addressSize } = form
  if (nothingToRepeat(s, form)) return S.STATUS_DONE
  const [lo, hi] = [s.gpr(RAX), s.gprHi(RAX)]
  const count = reach(s, form, S.ES, RDI, true, PAGE_BYTES)
  if (count >= 2) {
    const made = request(s, REPEAT_FILL, lo, hi, size | SLOW_WRITE, count)
    if (made > 0) return iterated(s, form, made, RDI)
  }
  s.linear(S.ES, lowPart(s.gpr(RDI), addressSize), addressSize === 8 ? s.gprHi(RDI) : 0, size, true)
  s.write(s.linLo, s.linHi, size, lo, hi, 0)
  s.commit()
  return iterated(s, form, 1, RDI)
}

/** Handlers of REP MOVS and REP STOS, for instructions that meet a device and whose accesses are logged. */
export const stringHandlers: Readonly<Record<string, Handler>> = {
  MOVSB: moveString,
  MOVSW: moveString,
  MOVSD: moveString,
  MOVSQ: moveString,
  STOSB: storeString,
  STOSW: storeString,
  STOSD: storeString,
  STOSQ: storeString,
}
