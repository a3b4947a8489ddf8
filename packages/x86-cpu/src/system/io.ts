import { SLOW_DIRECT, SLOW_PROBE, SLOW_WRITE, VECTOR_GP } from '../semantics/context.ts'
import type { Form } from '../semantics/form.ts'
import {
  ES,
  FLAG_DF,
  SEG_BASE,
  SEG_LIMIT,
  STATUS_CONTINUE,
  STATUS_DONE,
  S_ATTENTION,
  S_DATA,
  S_EFLAGS,
  S_GPR,
  TR,
} from '../state-layout.ts'
import { ATTR_TYPE, RAX, RCX, RDI, RDX, RSI, SYSTEM_TSS } from './architecture.ts'
import { matchPortBreakpoints } from './breakpoints.ts'
import { immediate, segmentOf, sizeOf, type Handler } from './operands.ts'
import type { System } from './system.ts'

/**
 * Whether the current program may use these ports: IOPL, or in its place the I/O permission bit map of the TSS.
 *
 * Source: SDM vol. 1, "I/O Privilege Level", "I/O Permission Bit Map". @throws #GP(0)
 */
function checkPorts(s: System, port: number, size: number): void {
  if (!s.protectedMode || (!s.v86 && s.cpl <= s.iopl)) return
  const limit = s.segmentField(TR, SEG_LIMIT)
  if ((s.attributes(TR) & ATTR_TYPE) < SYSTEM_TSS || limit < 0x67) s.raise(VECTOR_GP, 0)
  const baseLo = s.segmentField(TR, SEG_BASE)
  const baseHi = s.segmentField(TR, SEG_BASE + 4)
  const map = s.readSystem((baseLo + 0x66) >>> 0, s.carryHi(baseLo, baseHi, 0x66), 2)
  const at = map + (port >>> 3)
  // Two bytes are read, whatever the port, and both must lie within the segment.
  if (at + 1 > limit) s.raise(VECTOR_GP, 0)
  const word = s.readSystem((baseLo + at) >>> 0, s.carryHi(baseLo, baseHi, at), 2)
  if (((word >>> (port & 7)) & ((1 << size) - 1)) !== 0) s.raise(VECTOR_GP, 0)
}

/** The port an IN or OUT names: DX or the immediate. */
function portOf(s: System, record: number, form: Form, i: number): number {
  return form.operands[i]?.kind === 'imm' ? immediate(s, record) & 0xff : s.gpr(RDX) & 0xffff
}

// @isa: complete   E4 E5 EC ED   IN   "SDM vol. 2A, IN"
export const input: Handler = (s, record, form) => {
  const size = sizeOf(form, 0)
  const port = portOf(s, record, form, 1)
  checkPorts(s, port, size)
  s.check(s.cpu.port(port, size | SLOW_DIRECT))
  s.writeRegister(S_GPR + 8 * RAX, size, s.get(S_DATA), 0)
  matchPortBreakpoints(s, port, size)
  return STATUS_DONE
}

// @isa: complete   E6 E7 EE EF   OUT   "SDM vol. 2B, OUT"
export const output: Handler = (s, record, form) => {
  const size = sizeOf(form, 1)
  const port = portOf(s, record, form, 0)
  checkPorts(s, port, size)
  s.set64(S_DATA, s.gpr(RAX), 0)
  s.check(s.cpu.port(port, size | SLOW_DIRECT | SLOW_WRITE))
  matchPortBreakpoints(s, port, size)
  // What the device has raised comes before the next instruction, not at the next branch.
  return s.get(S_ATTENTION) === 0 ? STATUS_DONE : s.retireNext(record)
}

function lowPart(value: number, width: number): number {
  return width === 2 ? value & 0xffff : value
}

const STRING_SIZES: Readonly<Record<string, number>> = { B: 1, W: 2, D: 4 }

/** Bytes of an element, which the mnemonic tells: DX is an operand too, and wider than a byte. */
function elementSize(form: Form): number {
  return STRING_SIZES[form.mnemonic.slice(-1)] as number
}

/** Moves an index register by one element, in the direction of DF. */
function step(s: System, register: number, width: number, size: number): void {
  const delta = (s.get(S_EFLAGS) & FLAG_DF) === 0 ? size : -size
  const sum = s.gpr(register) + delta
  const carry = sum > 0xffff_ffff ? 1 : sum < 0 ? -1 : 0
  s.setGpr(register, width, sum >>> 0, (s.gprHi(register) + carry) >>> 0)
}

function countIsZero(s: System, width: number): boolean {
  return lowPart(s.gpr(RCX), width) === 0 && (width !== 8 || s.gprHi(RCX) === 0)
}

/** Ends an iteration: the status tells whether there are more. */
function iterated(s: System, form: Form, register: number): number {
  step(s, register, form.addressSize, elementSize(form))
  if (form.repeat === 'none') return STATUS_DONE
  const lo = s.gpr(RCX) - 1
  s.setGpr(RCX, form.addressSize, lo >>> 0, (s.gprHi(RCX) - (lo < 0 ? 1 : 0)) >>> 0)
  return countIsZero(s, form.addressSize) ? STATUS_DONE : STATUS_CONTINUE
}

/** A repeated instruction with a count of zero does nothing, but a 32-bit count clears the upper half of RCX. */
function nothingToRepeat(s: System, form: Form): boolean {
  return form.repeat !== 'none' && countIsZero(s, form.addressSize)
}

// @isa: complete   6C 6D   INS   "SDM vol. 2A, INS/INSB/INSW/INSD"; one iteration a call
const inputString: Handler = (s, _record, form) => {
  const { addressSize } = form
  const size = elementSize(form)
  if (nothingToRepeat(s, form)) return STATUS_DONE
  const port = s.gpr(RDX) & 0xffff
  checkPorts(s, port, size)
  const hi = addressSize === 8 ? s.gprHi(RDI) : 0
  s.linear(ES, lowPart(s.gpr(RDI), addressSize), hi, size, true)
  // The destination is checked before the port is read: a port cannot be read again.
  s.check(s.cpu.access(s.linLo, s.linHi, size | SLOW_WRITE | SLOW_PROBE))
  s.check(s.cpu.port(port, size | SLOW_DIRECT))
  s.write(s.linLo, s.linHi, size, s.get(S_DATA), 0, 0)
  s.commit()
  matchPortBreakpoints(s, port, size)
  return iterated(s, form, RDI)
}

// @isa: complete   6E 6F   OUTS   "SDM vol. 2B, OUTS/OUTSB/OUTSW/OUTSD"; one iteration a call
const outputString: Handler = (s, record, form) => {
  const { addressSize } = form
  const size = elementSize(form)
  if (nothingToRepeat(s, form)) return STATUS_DONE
  const port = s.gpr(RDX) & 0xffff
  checkPorts(s, port, size)
  const hi = addressSize === 8 ? s.gprHi(RSI) : 0
  s.linear(segmentOf(s, record), lowPart(s.gpr(RSI), addressSize), hi, size, false)
  s.read(s.linLo, s.linHi, size, 0)
  s.set64(S_DATA, s.lo, 0)
  s.check(s.cpu.port(port, size | SLOW_DIRECT | SLOW_WRITE))
  matchPortBreakpoints(s, port, size)
  return iterated(s, form, RSI)
}

export const ioHandlers: Readonly<Record<string, Handler>> = {
  IN: input,
  OUT: output,
  INSB: inputString,
  INSW: inputString,
  INSD: inputString,
  OUTSB: outputString,
  OUTSW: outputString,
  OUTSD: outputString,
}
