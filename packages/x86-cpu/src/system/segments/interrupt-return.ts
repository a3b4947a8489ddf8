import { VECTOR_GP } from '../../state/vectors.ts'
import * as S from '../../state/state-layout.ts'
import { CR4_VME, FLAG_FIXED, RSP } from '../../state/architecture.ts'
import { hasInstructionBreakpoints } from '../breakpoints.ts'
import { FarReturn } from './far-return.ts'
import { setRealCode } from './far-transfer.ts'
import type { Handler } from '../operands.ts'
import { setV86Segment } from './segment-cache.ts'
import { S_NMI_BLOCKED } from '../../state/system-state.ts'
import type { System } from '../system.ts'
import { TASK_IRET, switchTask } from './task-switch.ts'

const way = new FarReturn()

/** RFLAGS that an image of `size` bytes may change at privilege level `cpl`; the rest stays. */
export function flagsMask(s: System, size: number): number {
  let mask = S.FLAGS_ARITHMETIC | S.FLAG_TF | S.FLAG_DF | S.FLAG_NT
  if (size !== 2) mask |= S.FLAG_RF | S.FLAG_AC | S.FLAG_ID
  if (!s.protectedMode || s.cpl === 0) mask |= S.FLAG_IOPL | S.FLAG_IF
  else if (s.cpl <= s.iopl) mask |= S.FLAG_IF
  return mask
}

/** RFLAGS with the bits of `mask` taken from `image`. */
function mergeFlags(s: System, image: number, mask: number): number {
  return (s.cpu.materialiseFlags() & ~mask) | (image & mask) | FLAG_FIXED
}

// @isa: complete   CF   IRET, IRETD, IRETQ   "SDM vol. 2A, IRET/IRETD/IRETQ"
const interruptReturn: Handler = (s, record, form) => {
  const size = form.size
  const status = s.realSegments ? returnReal(s, size) : returnProtected(s, record, size)
  // RF matters to instruction breakpoints only, and it is their check that clears it.
  if (!hasInstructionBreakpoints(s)) s.set(S.S_EFLAGS, s.get(S.S_EFLAGS) & ~S.FLAG_RF)
  // Any IRET that succeeds lets NMIs in again, whatever it returned from.
  s.set(S_NMI_BLOCKED, 0)
  return status
}

/** Real mode, and virtual-8086 mode that stays there. */
function returnReal(s: System, size: number): number {
  const v86 = s.v86
  const virtual = v86 && s.iopl < 3
  if (virtual && ((s.get(S.S_CR4) & CR4_VME) === 0 || size !== 2)) s.raise(VECTOR_GP, 0)
  const { frameLo } = s
  s.readFrame(3, size)
  const offset = frameLo[0]!
  const selector = frameLo[1]! & 0xffff
  const image = frameLo[2]!
  if (offset > s.segmentField(S.CS, S.SEG_HIGH)) s.raise(VECTOR_GP, 0)
  let flags: number
  if (virtual) {
    // With virtual interrupts, IF of the image goes to VIF; TF, or IF while one is pending, needs the monitor.
    const pending = (image & S.FLAG_IF) !== 0 && (s.get(S.S_EFLAGS) & S.FLAG_VIP) !== 0
    if (pending || (image & S.FLAG_TF) !== 0) s.raise(VECTOR_GP, 0)
    flags = mergeFlags(s, image, flagsMask(s, 2) & ~(S.FLAG_IF | S.FLAG_IOPL))
    flags = (image & S.FLAG_IF) === 0 ? flags & ~S.FLAG_VIF : flags | S.FLAG_VIF
  } else {
    const mask = v86 ? (flagsMask(s, size) | S.FLAG_IF) & ~S.FLAG_IOPL : flagsMask(s, size)
    flags = mergeFlags(s, image, mask)
  }
  s.releaseStack(3 * size)
  s.cpu.setRflags(flags)
  setRealCode(s, selector, offset)
  return s.retired()
}

function returnProtected(s: System, record: number, size: number): number {
  if ((s.get(S.S_EFLAGS) & S.FLAG_NT) !== 0) {
    if (s.longMode) s.raise(VECTOR_GP, 0)
    const link = s.readSystem(s.segmentField(S.TR, S.SEG_BASE), 0, 2)
    s.nextRip(record)
    return switchTask(s, { selector: link, kind: TASK_IRET, returnIp: s.lo })
  }
  const { frameLo, frameHi } = s
  const { mode64 } = s
  // IRETQ pops SS:RSP whatever the privilege level.
  s.readFrame(mode64 ? 5 : 3, size)
  const lo = frameLo[0]!
  const selector = frameLo[1]! & 0xffff
  const image = frameLo[2]!
  const cpl = s.cpl
  if ((image & S.FLAG_VM) !== 0 && cpl === 0 && size === 4 && !s.longMode) return toV86(s, lo, selector, image)
  way.checkCode(s, selector, lo, frameHi[0]!, size)
  const values = mode64 || way.level !== cpl ? 5 : 3
  if (values === 5) {
    if (!mode64) s.readFrame(5, size)
    way.checkStack(s, frameLo[4]! & 0xffff, frameLo[3]!, frameHi[3]!)
  }
  way.checkOffset(s)
  s.commit()
  let mask = flagsMask(s, size)
  if (cpl === 0 && size !== 2) mask |= s.cpu.processor.rflags & (S.FLAG_VIF | S.FLAG_VIP)
  const flags = mergeFlags(s, image, mask)
  if (values === 3) s.releaseStack(3 * size)
  s.cpu.setRflags(flags)
  way.enter(s, 0)
  return s.retired()
}

/** Return to virtual-8086 mode: EIP, CS, EFLAGS are read; ESP, SS, ES, DS, FS, GS follow. */
function toV86(s: System, offset: number, selector: number, image: number): number {
  s.readFrame(9, 4)
  const value = (i: number): number => s.frameLo[i]!
  if (offset > 0xffff) s.raise(VECTOR_GP, 0)
  s.cpu.setRflags((image & s.cpu.processor.rflags) | FLAG_FIXED)
  setV86Segment(s, S.SS, value(4) & 0xffff)
  setV86Segment(s, S.ES, value(5) & 0xffff)
  setV86Segment(s, S.DS, value(6) & 0xffff)
  setV86Segment(s, S.FS, value(7) & 0xffff)
  setV86Segment(s, S.GS, value(8) & 0xffff)
  setV86Segment(s, S.CS, selector)
  s.set64(S.S_GPR + 8 * RSP, value(3), 0)
  s.set64(S.S_RIP, offset, 0)
  s.cpu.modeChanged()
  return s.retired()
}

export const interruptReturnHandlers: Readonly<Record<string, Handler>> = {
  IRET: interruptReturn,
  IRETD: interruptReturn,
  IRETQ: interruptReturn,
}
