import { VECTOR_GP, VECTOR_NP, VECTOR_SS } from '../../state/vectors.ts'
import { CS, DS, ES, FS, GS, SEG_HIGH, SS, S_GPR } from '../../state/state-layout.ts'
import { ATTR_DB, ATTR_DPL_SHIFT, ATTR_S, RSP, TYPE_CODE, TYPE_CONFORMING } from '../../state/architecture.ts'
import {
  CodeTarget,
  Descriptor,
  isNull,
  queueAccessed,
  requireDescriptor,
  selectorIndex,
  setSegmentFrom,
} from './descriptors.ts'
import { setRealCode } from './far-transfer.ts'
import { immediate, type Handler } from '../operands.ts'
import { dropSegment, isUsable, setNullSegment } from './segment-cache.ts'
import type { System } from '../system.ts'

const stackDescriptor = new Descriptor()

/**
 * The way back from a far call or an interrupt in protected mode: code segment, and stack where the privilege level
 * changes. RETF and IRET check the same things in the same order.
 *
 * Source: SDM vol. 2B, "RET"; vol. 2A, "IRET/IRETD/IRETQ".
 */
export class FarReturn {
  readonly target: CodeTarget = new CodeTarget()
  selector = 0
  /** The stack to return to, where {@link changesStack}. */
  stackSelector = 0
  stackLo = 0
  stackHi = 0
  changesStack = false
  #nullStack = false

  /** Privilege level returned to. */
  get level(): number {
    return this.selector & 3
  }

  /** Checks the code segment; the offset is checked by {@link checkOffset}. */
  checkCode(s: System, selector: number, offsetLo: number, offsetHi: number, size: number): void {
    this.selector = selector
    this.changesStack = false
    if (isNull(selector)) s.raise(VECTOR_GP, 0)
    const error = selectorIndex(selector)
    const { target } = this
    const d = target.descriptor
    requireDescriptor(s, selector, d, VECTOR_GP)
    const rpl = selector & 3
    if (!d.isCode || rpl < s.cpl) s.raise(VECTOR_GP, error)
    if (d.isConforming ? d.dpl > rpl : d.dpl !== rpl) s.raise(VECTOR_GP, error)
    target.checkLongBits(s)
    if (!d.present) s.raise(VECTOR_NP, error)
    target.setOffset(offsetLo, offsetHi, size)
  }

  /** Checks the stack segment that is returned to. */
  checkStack(s: System, selector: number, lo: number, hi: number): void {
    this.changesStack = true
    this.stackSelector = selector
    this.stackLo = lo
    this.stackHi = hi
    this.#nullStack = false
    const level = this.level
    if (isNull(selector)) {
      if (!s.longMode || !this.target.descriptor.isLong || level === 3 || (selector & 3) !== level) {
        s.raise(VECTOR_GP, 0)
      }
      this.#nullStack = true
      return
    }
    const error = selectorIndex(selector)
    const d = stackDescriptor
    requireDescriptor(s, selector, d, VECTOR_GP)
    if ((selector & 3) !== level || !d.isWritableData || d.dpl !== level) s.raise(VECTOR_GP, error)
    if (!d.present) s.raise(VECTOR_SS, error)
  }

  /** Last checks, and accessed bits. */
  checkOffset(s: System): void {
    this.target.checkOffset(s)
    this.target.queueAccessed(s)
    if (this.changesStack && !this.#nullStack) queueAccessed(s, stackDescriptor)
  }

  /** After the last access: SS and its pointer, CS and RIP, and data segments that the new level may not see. */
  enter(s: System, extraBytes: number): void {
    const level = this.level
    const outward = level > s.cpl
    if (this.changesStack) {
      if (this.#nullStack) setNullSegment(s, SS, this.stackSelector)
      else setSegmentFrom(s, SS, this.stackSelector, stackDescriptor)
      this.#setPointer(s, extraBytes)
    }
    this.target.enter(s, this.selector, level)
    if (outward) dropInnerSegments(s, level)
  }

  #setPointer(s: System, extraBytes: number): void {
    const at = S_GPR + 8 * RSP
    if (s.longMode && this.target.descriptor.isLong) {
      const lo = this.stackLo + extraBytes
      s.set64(at, lo, (this.stackHi + (lo > 0xffff_ffff ? 1 : 0)) >>> 0)
    } else if (!this.#nullStack && (stackDescriptor.attributes & ATTR_DB) === 0) {
      s.u16[at >>> 1] = this.stackLo + extraBytes
    } else s.set64(at, this.stackLo + extraBytes, 0)
  }
}

const DROPPED_SEGMENTS: readonly number[] = [ES, DS, FS, GS]

/** Data and non-conforming code segments above the new privilege level become null. */
function dropInnerSegments(s: System, level: number): void {
  for (const segment of DROPPED_SEGMENTS) {
    const attributes = s.attributes(segment)
    const conforming = (attributes & (TYPE_CODE | TYPE_CONFORMING)) === (TYPE_CODE | TYPE_CONFORMING)
    const dpl = (attributes >>> ATTR_DPL_SHIFT) & 3
    if (!isUsable(s, segment) || ((attributes & ATTR_S) !== 0 && !conforming && dpl < level)) {
      // A null selector that is there already loses its RPL.
      dropSegment(s, segment)
    }
  }
}

const way = new FarReturn()

// @isa: complete   CA, CB   RET far   "SDM vol. 2B, RET"
const returnFar: Handler = (s, record, form) => {
  const size = form.size
  const extra = form.operands.length > 0 ? immediate(s, record) & 0xffff : 0
  s.readStack(0, size)
  const lo = s.lo
  const hi = s.hi
  s.readStack(size, size)
  const selector = s.lo & 0xffff
  if (s.realSegments) {
    const offset = size === 2 ? lo & 0xffff : lo
    if (offset > s.segmentField(CS, SEG_HIGH)) s.raise(VECTOR_GP, 0)
    s.releaseStack(2 * size + extra)
    setRealCode(s, selector, offset)
    return s.retired()
  }
  way.checkCode(s, selector, lo, hi, size)
  const same = way.level === s.cpl
  if (!same) {
    s.readStack(2 * size + extra, size)
    const stackLo = s.lo
    const stackHi = s.hi
    s.readStack(3 * size + extra, size)
    way.checkStack(s, s.lo & 0xffff, stackLo, stackHi)
  }
  way.checkOffset(s)
  s.commit()
  if (same) s.releaseStack(2 * size + extra)
  way.enter(s, extra)
  return s.retired()
}

export const returnHandlers: Readonly<Record<string, Handler>> = { RETF: returnFar }
