import { VECTOR_BP, VECTOR_BR, VECTOR_DB, VECTOR_OF } from '../../state/vectors.ts'
import { FLAG_OF, FLAG_TF, STATUS_DONE, S_EA, S_EFLAGS } from '../../state/state-layout.ts'
import { Delivery, SOURCE_EVENT, SOURCE_INT3, SOURCE_INT_N, deliver } from './interrupt-delivery.ts'
import { immediate, locating, registerOffset, type Handler } from '../operands.ts'
import type { System } from '../system.ts'
import { recordDebug } from '../events.ts'
import { S_PENDING_DEBUG, S_STEP_SUPPRESSED } from '../../state/system-state.ts'

const delivery = new Delivery()

/**
 * Calls a handler as an instruction does: the return address is the next instruction, and what goes wrong on the way is
 * the instruction's own fault, with EXT clear except for INT1.
 */
function call(s: System, record: number, vector: number, source: number, external: boolean): number {
  const stepping = (s.get(S_EFLAGS) & FLAG_TF) !== 0
  s.nextRip(record)
  delivery.vector = vector
  delivery.source = source
  delivery.hasError = false
  delivery.errorCode = 0
  delivery.returnLo = s.lo
  delivery.returnHi = s.hi
  delivery.resume = false
  s.ext = external ? 1 : 0
  try {
    deliver(s, delivery)
  } finally {
    s.ext = 0
  }
  // TF is clear now: the single-step trap waits for the handler to return.
  if (stepping) s.set(S_STEP_SUPPRESSED, 1)
  return s.retired()
}

// @isa: complete   CD ib   INT n   "SDM vol. 2A, INT n/INTO/INT3/INT1"
export const int: Handler = (s, record) => call(s, record, immediate(s, record) & 0xff, SOURCE_INT_N, false)

// @isa: complete   CC   INT3
const int3: Handler = (s, record) => call(s, record, VECTOR_BP, SOURCE_INT3, false)

// @isa: complete   CE   INTO
export const into: Handler = (s, record) => {
  if ((s.cpu.materialiseFlags() & FLAG_OF) === 0) return STATUS_DONE
  return call(s, record, VECTOR_OF, SOURCE_INT3, false)
}

// @isa: complete   F1   INT1: no DPL check, DR6 unchanged but for the conditions that MOV SS has held back
const int1: Handler = (s, record) => {
  // This #DB reports those conditions, and no second one follows. Intel's processors do so, and the SDM says it of a VM entry
  // that injects INT1 (vol. 3C, "Delivery of Pending Debug Exceptions after VM Entry").
  const held = s.get(S_PENDING_DEBUG)
  s.set(S_PENDING_DEBUG, 0)
  const status = call(s, record, VECTOR_DB, SOURCE_EVENT, true)
  if (held !== 0) recordDebug(s, held)
  return status
}

// @isa: complete   62 /r   BOUND   "SDM vol. 2A, BOUND"
export const bound: Handler = (s, record, form) => {
  const { size } = form
  const at = registerOffset(s, record, 0)
  const lo = s.get(S_EA)
  const hi = s.get(S_EA + 4)
  const index = signed(s.get(at), size)
  const lower = signed(s.readAt(lo, hi, 0, size), size)
  const upper = signed(s.readAt(lo, hi, size, size), size)
  if (index < lower || index > upper) s.raisePlain(VECTOR_BR)
  return STATUS_DONE
}

function signed(value: number, size: number): number {
  return size === 2 ? (value << 16) >> 16 : value | 0
}

// @isa: complete   0F FF, 0F B9, 0F 0B   UD0, UD1, UD2; and whatever is not offered
const undefinedInstruction = locating((s) => s.undefinedOpcode())

export const softwareInterruptHandlers: Readonly<Record<string, Handler>> = {
  INT: int,
  INT3: int3,
  INTO: into,
  INT1: int1,
  BOUND: bound,
  UD0: undefinedInstruction,
  UD1: undefinedInstruction,
  UD2: undefinedInstruction,
}
