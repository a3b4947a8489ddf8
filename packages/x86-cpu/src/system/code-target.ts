import { VECTOR_GP, VECTOR_NP } from '../vectors.ts'
import { S_RIP } from '../state-layout.ts'
import { Descriptor, queueAccessed, selectorIndex, setCodeSegment } from './descriptors.ts'
import type { System } from './system.ts'

/** Where a far transfer goes: code segment and offset, checked first, loaded last. */
export class CodeTarget {
  readonly descriptor: Descriptor = new Descriptor()
  offsetLo = 0
  offsetHi = 0

  setOffset(lo: number, hi: number, size: number): void {
    this.offsetLo = size === 2 ? lo & 0xffff : lo >>> 0
    this.offsetHi = size === 8 ? hi >>> 0 : 0
  }

  /** The segment is present, and the offset lies within it or is canonical. */
  checkEntry(s: System): void {
    this.checkPresent(s)
    this.checkOffset(s)
  }

  checkPresent(s: System): void {
    if (!this.descriptor.present) s.raise(VECTOR_NP, selectorIndex(this.descriptor.selector))
  }

  checkOffset(s: System): void {
    const d = this.descriptor
    if (s.longMode && d.isLong) {
      if (!s.isCanonical(this.offsetHi)) s.raise(VECTOR_GP, 0)
    } else {
      this.offsetHi = 0
      if (this.offsetLo > d.limit) s.raise(VECTOR_GP, 0)
    }
  }

  /** In IA-32e mode L and D together are reserved. */
  checkLongBits(s: System): void {
    const d = this.descriptor
    if (s.longMode && d.isLong && d.isBig) s.raise(VECTOR_GP, selectorIndex(d.selector))
  }

  queueAccessed(s: System): void {
    queueAccessed(s, this.descriptor)
  }

  /** Loads CS and RIP; after the last access. SS, if it changes, is loaded before; `modeChanged` is called here. */
  enter(s: System, selector: number, cpl: number): void {
    setCodeSegment(s, selector, cpl, this.descriptor)
    s.set64(S_RIP, this.offsetLo, this.offsetHi)
    s.cpu.modeChanged()
  }
}
