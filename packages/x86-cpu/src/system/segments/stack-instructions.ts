import { SLOW_PROBE, SLOW_STACK, SLOW_WRITE } from '../../state/host.ts'
import { SS, STATUS_DONE } from '../../state/state-layout.ts'
import { RBP, RSP } from '../../state/architecture.ts'
import { immediate, secondImmediate, type Handler } from '../operands.ts'
import { PushStack } from './stack-frames.ts'

const stack = new PushStack()

// @isa: complete   C8 iw ib   ENTER   "SDM vol. 2A, ENTER"
export const enter: Handler = (s, record, form) => {
  const { size } = form
  const frame = immediate(s, record) & 0xffff
  const level = secondImmediate(s, record) & 31
  const width = s.stackAddressSize
  stack.useCurrent(s)
  stack.push(s, size, s.gpr(RBP), s.gprHi(RBP))
  stack.finish(s)
  const frameLo = stack.lo
  const frameHi = stack.hi
  let lo = s.gpr(RBP)
  let hi = s.gprHi(RBP)
  for (let i = 1; i < level; i++) {
    const next = lo - size
    if (next < 0) hi = (hi - 1) >>> 0
    lo = next >>> 0
    s.linear(SS, width === 2 ? lo & 0xffff : lo, hi, size, false)
    s.read(s.linLo, s.linHi, size, SLOW_STACK)
    stack.push(s, size, s.lo, s.hi)
    stack.finish(s)
  }
  if (level > 0) stack.push(s, size, frameLo, frameHi)
  stack.finish(s)
  const down = stack.lo - frame
  const newHi = down < 0 ? (stack.hi - 1) >>> 0 : stack.hi
  const newLo = width === 2 ? ((stack.lo & 0xffff_0000) | (down & 0xffff)) >>> 0 : down >>> 0
  // The new top of stack must be writable, although nothing is stored there.
  s.linear(SS, width === 2 ? newLo & 0xffff : newLo, newHi, size, true)
  s.check(s.cpu.access(s.linLo, s.linHi, size | SLOW_STACK | SLOW_WRITE | SLOW_PROBE))
  s.commit()
  s.setGpr(RBP, size, frameLo, frameHi)
  s.setGpr(RSP, width, newLo, newHi)
  return STATUS_DONE
}

// @isa: complete   C9   LEAVE   "SDM vol. 2B, LEAVE"
export const leave: Handler = (s, _record, form) => {
  const { size } = form
  const width = s.stackAddressSize
  const lo = width === 2 ? s.gpr(RBP) & 0xffff : s.gpr(RBP)
  const hi = width === 8 ? s.gprHi(RBP) : 0
  s.linear(SS, lo, hi, size, false)
  s.read(s.linLo, s.linHi, size, SLOW_STACK)
  const sum = lo + size
  s.setGpr(RSP, width, sum >>> 0, (hi + (sum > 0xffff_ffff ? 1 : 0)) >>> 0)
  s.setGpr(RBP, size, s.lo, s.hi)
  return STATUS_DONE
}

// @isa: complete   60   PUSHA, PUSHAD   "SDM vol. 2B, PUSHA/PUSHAD"
const pushAll: Handler = (s, _record, form) => {
  stack.useCurrent(s)
  // ESP is pushed as it was before the instruction.
  for (let i = 0; i < 8; i++) stack.push(s, form.size, s.gpr(i))
  stack.finish(s)
  s.commit()
  stack.store(s)
  return STATUS_DONE
}

const popped = new Uint32Array(8)

// @isa: complete   61   POPA, POPAD   "SDM vol. 2B, POPA/POPAD"
const popAll: Handler = (s, _record, form) => {
  const { size } = form
  for (let i = 0; i < 8; i++) {
    // ESP's place is skipped, not read.
    if (7 - i === RSP) continue
    s.readStack(i * size, size)
    popped[7 - i] = s.lo
  }
  for (let i = 0; i < 8; i++) if (i !== RSP) s.setGpr(i, size, popped[i]!)
  s.releaseStack(8 * size)
  return STATUS_DONE
}

export const stackHandlers: Readonly<Record<string, Handler>> = {
  ENTER: enter,
  LEAVE: leave,
  PUSHA: pushAll,
  PUSHAD: pushAll,
  POPA: popAll,
  POPAD: popAll,
}
