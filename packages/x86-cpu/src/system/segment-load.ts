import { VECTOR_GP, VECTOR_NP, VECTOR_SS } from '../vectors.ts'
import { SS } from '../state-layout.ts'
import { Descriptor, isNull, queueAccessed, requireDescriptor, selectorIndex, setSegmentFrom } from './descriptors.ts'
import { setNullSegment, setRealModeSegment, setV86Segment } from './segment-cache.ts'
import type { System } from './system.ts'

/**
 * Loading a data segment register in two steps, because an instruction such as LDS or a task switch has more accesses to
 * come: `checkDataSegment` reads the descriptor and makes every check, `loadDataSegment` changes the register.
 *
 * Source: Intel SDM vol. 2B, "MOV—Move"; vol. 3A, "Loading Segment Registers", "Segment Loading Instructions in IA-32e
 * Mode".
 */
export class SegmentLoad {
  selector = 0
  readonly descriptor: Descriptor = new Descriptor()
  #null = false

  /** For ES, DS, FS and GS; for SS the rules of the stack segment. Any mode. */
  checkDataSegment(s: System, segment: number, selector: number): void {
    this.selector = selector & 0xffff
    this.#null = false
    if (s.realSegments) return
    const d = this.descriptor
    const rpl = selector & 3
    const cpl = s.cpl
    const error = selectorIndex(selector)
    if (segment === SS) {
      if (isNull(selector)) {
        if (!s.mode64 || cpl === 3 || rpl !== cpl) s.raise(VECTOR_GP, 0)
        this.#null = true
        return
      }
      requireDescriptor(s, selector, d, VECTOR_GP)
      if (rpl !== cpl || !d.isWritableData || d.dpl !== cpl) s.raise(VECTOR_GP, error)
      if (!d.present) s.raise(VECTOR_SS, error)
    } else {
      if (isNull(selector)) {
        this.#null = true
        return
      }
      requireDescriptor(s, selector, d, VECTOR_GP)
      if (!d.isReadable) s.raise(VECTOR_GP, error)
      if (!(d.isCode && d.isConforming) && (rpl > d.dpl || cpl > d.dpl)) s.raise(VECTOR_GP, error)
      if (!d.present) s.raise(VECTOR_NP, error)
    }
    queueAccessed(s, d)
  }

  /** Changes the register; after the last access. */
  loadDataSegment(s: System, segment: number): void {
    if (!s.protectedMode) setRealModeSegment(s, segment, this.selector)
    else if (s.v86) setV86Segment(s, segment, this.selector)
    else if (this.#null) setNullSegment(s, segment, this.selector)
    else setSegmentFrom(s, segment, this.selector, this.descriptor)
    if (segment === SS) s.cpu.modeChanged()
  }
}
