import type { Form } from '../state/form.ts'
import { R_IMM, R_REG0, R_SEGMENT } from '../state/record.ts'
import { S_EA } from '../state/state-layout.ts'
import type { System } from './system.ts'

/**
 * A TypeScript handler of an instruction.
 *
 * @param record - machine address of the decoded instruction (`record.ts`)
 * @returns STATUS_DONE: retired, the caller advances RIP. STATUS_JUMP, STATUS_EXIT: retired, RIP is set.
 *   STATUS_CONTINUE: progress of a repeated instruction is kept, RIP stays. An instruction that cannot go on throws
 *   `System.abandoned`, which `HandlerPath` catches
 */
export interface Handler {
  (s: System, record: number, form: Form): number
  /** The check before the address of the memory operand is looked at. */
  readonly gate?: Gate
  /** The handler computes the address of the memory operand, or of each of its elements, by itself. */
  readonly locates?: boolean
}

/** A handler that computes the addresses of its memory operand by itself. @param handler - of no other instruction */
export const locating = (handler: Handler): Handler => Object.assign(handler, { locates: true })

/** Raises an exception, or does nothing. */
export type Gate = (s: System) => void

/** A gate for the instructions of level 0. */
export const kernelOnly: Gate = (s) => s.requireCpl0()

/**
 * A handler after a gate. #UD and #NM belong to decoding, hence come before faults of the operand (SDM vol. 3A, "Priority
 * Among Concurrent Events"). Among faults of execution the SDM leaves the order open: privilege is looked at first.
 */
export function gated(gate: Gate, handler: Handler): Handler {
  const both = (s: System, record: number, form: Form): number => {
    gate(s)
    return handler(s, record, form)
  }
  return Object.assign(both, { gate })
}

/** State offset of the register that operand `i` names: general, segment, control, debug, MMX or XMM. */
export function registerOffset(s: System, record: number, i: number): number {
  return s.cpu.memory.u16[(record + R_REG0 + 2 * i) >>> 1]!
}

/** Low word of the immediate. */
export function immediate(s: System, record: number): number {
  return s.cpu.memory.u32[(record + R_IMM) >>> 2]!
}

/** High word of the immediate. Forms with two immediates (far pointer, ENTER) have the second one here. */
export function secondImmediate(s: System, record: number): number {
  return s.cpu.memory.u32[(record + R_IMM + 4) >>> 2]!
}

/** Segment register of the memory operand, prefixes applied. */
export function segmentOf(s: System, record: number): number {
  return s.cpu.memory.u8[record + R_SEGMENT]! & 7
}

export function sizeOf(form: Form, i: number): number {
  return form.operands[i]?.size ?? 0
}

export function isMemory(form: Form, i: number): boolean {
  return form.operands[i]?.kind === 'mem'
}

/** Reads operand `i` (register, memory or immediate), zero-extended, into `s.lo` and `s.hi`. */
export function readOperand(s: System, record: number, form: Form, i: number, size: number = sizeOf(form, i)): number {
  const kind = form.operands[i]?.kind
  if (kind === 'mem') return s.readValue(s.get(S_EA), s.get(S_EA + 4), size, 0)
  if (kind === 'imm') {
    s.lo = immediate(s, record)
    s.hi = secondImmediate(s, record)
    return s.lo
  }
  const offset = registerOffset(s, record, i)
  s.hi = 0
  if (size === 8) {
    s.lo = s.get(offset)
    s.hi = s.get(offset + 4)
  } else if (size === 4) s.lo = s.get(offset)
  else if (size === 2) s.lo = s.u16[offset >>> 1]!
  else s.lo = s.u8[offset]!
  return s.lo
}

/** Writes 32 bits to operand `i`, zero-extended, as the instruction's last act: memory, or a register of the operand's size. */
export function writeOperand(
  s: System,
  record: number,
  form: Form,
  i: number,
  value: number,
  size: number = sizeOf(form, i),
): void {
  if (isMemory(form, i)) {
    s.write(s.get(S_EA), s.get(S_EA + 4), size, value, 0, 0)
    s.commit()
  } else s.writeRegister(registerOffset(s, record, i), size, value, 0)
}
