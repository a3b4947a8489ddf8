import type { Form } from '../state/form.ts'
import { EVENT_SMI, FLAG_DF, S_EFLAGS, S_EVENTS, S_RIP } from '../state/state-layout.ts'
import { RCX, RDI } from '../state/architecture.ts'
import type { System } from './system.ts'
import { SMM_INSIDE, S_IO_ADDRESS, S_IO_COUNT, S_IO_INDEX, S_IO_RIP, S_IO_STATE, S_SMM } from '../state/system-state.ts'

/*
 * The I/O state of the save area: what the instruction was that SMI comes right after. SMI's handler may have it made
 * again (SDM vol. 3C, "I/O State Implementation", "I/O Instruction Restart").
 */

/** Bits of the type in the I/O state field. */
export const IO_INPUT = 1
export const IO_STRING = 2
export const IO_REPEATED = 4
export const IO_IMMEDIATE = 8

/**
 * Notes IN or OUT, which has made its access and is to retire, if an SMI comes next. RIP is still that of the instruction.
 *
 * @param type - `IO_*`
 * @param size - bytes: 1, 2 or 4
 */
export function noteIo(s: System, type: number, port: number, size: number): void {
  if (isSmiNext(s)) setIoState(s, type, port, size)
}

function isSmiNext(s: System): boolean {
  return (s.get(S_EVENTS) & EVENT_SMI) !== 0 && s.get(S_SMM) !== SMM_INSIDE
}

function setIoState(s: System, type: number, port: number, size: number): void {
  s.set(S_IO_STATE, ((port << 16) | (type << 4) | (size << 1) | 1) >>> 0)
  s.set64(S_IO_RIP, s.get(S_RIP), s.get(S_RIP + 4))
  s.set64(S_IO_ADDRESS, 0, 0)
}

/**
 * Notes INS or OUTS after iterations that have changed its registers already.
 *
 * @param index - RDI of INS, RSI of OUTS
 * @param made - iterations; the linear address of the first one's element is in `linLo` and `linHi`
 */
export function noteStringIo(s: System, form: Form, port: number, index: number, made: number): void {
  if (isSmiNext(s)) setStringState(s, form, port, index, made)
}

function setStringState(s: System, form: Form, port: number, index: number, made: number): void {
  const { size } = form
  const repeated = form.repeat === 'none' ? 0 : IO_REPEATED
  setIoState(s, (index === RDI ? IO_INPUT : 0) | IO_STRING | repeated, port, size)
  const forward = (s.get(S_EFLAGS) & FLAG_DF) === 0 ? size : -size
  const at = s.linLo + (made - 1) * forward
  s.set64(S_IO_ADDRESS, at >>> 0, s.carryHi(s.linLo, s.linHi, at - s.linLo))
  undo(s, S_IO_INDEX, index, form.addressSize, -forward)
  undo(s, S_IO_COUNT, RCX, form.addressSize, repeated === 0 ? 0 : 1)
}

/** A register before the last iteration, which has moved it by `-by`; only its part of `width` bytes moves. */
function undo(s: System, into: number, register: number, width: number, by: number): void {
  const lo = s.gpr(register)
  const hi = s.gprHi(register)
  const sum = lo + by
  if (width === 2) s.set64(into, (lo & ~0xffff) | (sum & 0xffff), hi)
  else if (width === 4) s.set64(into, sum >>> 0, hi)
  else s.set64(into, sum >>> 0, (hi + (sum > 0xffff_ffff ? 1 : sum < 0 ? -1 : 0)) >>> 0)
}
