import { SLOW_DIRECT, SLOW_PROBE, SLOW_WRITE } from '../state/host.ts'
import { VECTOR_GP } from '../state/vectors.ts'
import type { Form } from '../state/form.ts'
import { OP_DEAD, R_OP } from '../state/record.ts'
import * as S from '../state/state-layout.ts'
import { ATTR_TYPE, RAX, RDI, RDX, RSI, SYSTEM_TSS } from '../state/architecture.ts'
import { matchPortBreakpoints } from './breakpoints.ts'
import { IO_IMMEDIATE, IO_INPUT, noteIo, noteStringIo } from './io-state.ts'
import { immediate, segmentOf, sizeOf, type Handler } from './operands.ts'
import { iterated, lowPart, nothingToRepeat, repeatPort } from './strings.ts'
import type { System } from './system.ts'
import { S_PENDING_DEBUG, S_REPEATING } from '../state/system-state.ts'

/**
 * Whether the current program may use these ports: IOPL, or in its place the I/O permission bit map of the TSS.
 *
 * Source: SDM vol. 1, "I/O Privilege Level", "I/O Permission Bit Map". @throws #GP(0)
 */
function checkPorts(s: System, port: number, size: number): void {
  if (!s.protectedMode || (!s.v86 && s.cpl <= s.iopl)) return
  const limit = s.segmentField(S.TR, S.SEG_LIMIT)
  if ((s.attributes(S.TR) & ATTR_TYPE) < SYSTEM_TSS || limit < 0x67) s.raise(VECTOR_GP, 0)
  const baseLo = s.segmentField(S.TR, S.SEG_BASE)
  const baseHi = s.segmentField(S.TR, S.SEG_BASE + 4)
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

function immediateType(form: Form, i: number): number {
  return form.operands[i]?.kind === 'imm' ? IO_IMMEDIATE : 0
}

// @isa: complete   E4 E5 EC ED   IN   "SDM vol. 2A, IN"
export const input: Handler = (s, record, form) => {
  const size = sizeOf(form, 0)
  const port = portOf(s, record, form, 1)
  checkPorts(s, port, size)
  s.check(s.cpu.port(port, size | SLOW_DIRECT))
  s.writeRegister(S.S_GPR + 8 * RAX, size, s.get(S.S_DATA), 0)
  matchPortBreakpoints(s, port, size)
  noteIo(s, IO_INPUT | immediateType(form, 1), port, size)
  return S.STATUS_DONE
}

// @isa: complete   E6 E7 EE EF   OUT   "SDM vol. 2B, OUT"
export const output: Handler = (s, record, form) => {
  const size = sizeOf(form, 1)
  const port = portOf(s, record, form, 0)
  checkPorts(s, port, size)
  s.set64(S.S_DATA, s.gpr(RAX), 0)
  s.check(s.cpu.port(port, size | SLOW_DIRECT | SLOW_WRITE))
  matchPortBreakpoints(s, port, size)
  noteIo(s, immediateType(form, 0), port, size)
  return S.STATUS_DONE
}

/** Ends iterations of INS (`index` RDI) or OUTS (RSI). */
function moved(s: System, form: Form, port: number, index: number, made: number): number {
  const status = iterated(s, form, made, index)
  noteStringIo(s, form, port, index, made)
  return status
}

/**
 * INS and OUTS: makes iterations until one of them ends the instruction, or something comes between it and the next one: an
 * event, a trap, the end of the slice, a logged pass, a write to the instruction itself.
 */
function repeatedly(iteration: Handler): Handler {
  return (s, record, form) => {
    let status = iteration(s, record, form)
    while (status === S.STATUS_CONTINUE && mayGoOn(s, record)) {
      s.set(S_REPEATING, 1)
      status = iteration(s, record, form)
      if (status === S.STATUS_DONE) s.set(S_REPEATING, 0)
    }
    return status
  }
}

function mayGoOn(s: System, record: number): boolean {
  if ((s.get(S.S_ATTENTION) | s.get(S_PENDING_DEBUG) | s.get(S.S_LOGGED)) !== 0) return false
  // The dispatch loop has charged the instruction, and gives that back where it has not ended.
  if ((s.get(S.S_BUDGET) | 0) < 0) return false
  return (s.cpu.memory.u16[(record + R_OP) >>> 1]! & OP_DEAD) === 0
}

// @isa: complete   6C 6D   INS   "SDM vol. 2A, INS/INSB/INSW/INSD"; one iteration, or a request for several
const inputElement: Handler = (s, record, form) => {
  const { size, addressSize } = form
  if (nothingToRepeat(s, form)) return S.STATUS_DONE
  const port = s.gpr(RDX) & 0xffff
  checkPorts(s, port, size)
  const hi = addressSize === 8 ? s.gprHi(RDI) : 0
  const made = repeatPort(s, form, port, S.ES, RDI, size | SLOW_WRITE)
  if (made > 0) return moved(s, form, port, RDI, made)
  s.linear(S.ES, lowPart(s.gpr(RDI), addressSize), hi, size, true)
  // The destination is checked before the port is read: a port cannot be read again.
  s.check(s.cpu.access(s.linLo, s.linHi, size | SLOW_WRITE | SLOW_PROBE))
  s.check(s.cpu.port(port, size | SLOW_DIRECT))
  s.write(s.linLo, s.linHi, size, s.get(S.S_DATA), 0, 0)
  s.commit()
  matchPortBreakpoints(s, port, size)
  return moved(s, form, port, RDI, 1)
}

// @isa: complete   6E 6F   OUTS   "SDM vol. 2B, OUTS/OUTSB/OUTSW/OUTSD"; likewise
const outputElement: Handler = (s, record, form) => {
  const { size, addressSize } = form
  if (nothingToRepeat(s, form)) return S.STATUS_DONE
  const port = s.gpr(RDX) & 0xffff
  checkPorts(s, port, size)
  const hi = addressSize === 8 ? s.gprHi(RSI) : 0
  const made = repeatPort(s, form, port, segmentOf(s, record), RSI, size)
  if (made > 0) return moved(s, form, port, RSI, made)
  s.linear(segmentOf(s, record), lowPart(s.gpr(RSI), addressSize), hi, size, false)
  s.read(s.linLo, s.linHi, size, 0)
  s.set64(S.S_DATA, s.lo, 0)
  s.check(s.cpu.port(port, size | SLOW_DIRECT | SLOW_WRITE))
  matchPortBreakpoints(s, port, size)
  return moved(s, form, port, RSI, 1)
}

const inputString = repeatedly(inputElement)
const outputString = repeatedly(outputElement)

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
