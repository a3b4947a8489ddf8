import { SLOW_IMPLICIT } from '../../state/host.ts'
import { CS, GDTR, LDTR, SEG_BASE, SEG_BYTES, SEG_LIMIT, S_SEGMENTS, S_RIP, SS } from '../../state/state-layout.ts'
import * as architecture from '../../state/architecture.ts'
import { isUsable, setSegment, setNullSegment, setRealModeSegment, setV86Segment } from './segment-cache.ts'
import type { System } from '../system.ts'
import { VECTOR_GP, VECTOR_NP, VECTOR_SS } from '../../state/vectors.ts'

/** A selector without its RPL: what error codes hold. */
export function selectorIndex(selector: number): number {
  return selector & 0xfffc
}

export function isNull(selector: number): boolean {
  return (selector & 0xfffc) === 0
}

/**
 * A descriptor that has been read from a table. Instances are made once and filled again and again.
 *
 * Source: Intel SDM vol. 3A, "Segment Descriptors", "System Descriptor Types".
 */
export class Descriptor {
  selector = 0
  /** Linear address of the entry. */
  addressLo = 0
  addressHi = 0
  /** The entry's two words, and for 16-byte system descriptors the third. */
  low = 0
  high = 0
  upper = 0

  /** Bits 55:40 of the entry as SEG_ATTRIBUTES has them: limit bits 19:16 left out. */
  get attributes(): number {
    return (this.high >>> 8) & 0xf0ff
  }

  get type(): number {
    return (this.high >>> 8) & 0xf
  }

  get isSegment(): boolean {
    return (this.high & (architecture.ATTR_S << 8)) !== 0
  }

  get isCode(): boolean {
    return this.isSegment && (this.type & architecture.TYPE_CODE) !== 0
  }

  get isConforming(): boolean {
    return (this.type & architecture.TYPE_CONFORMING) !== 0
  }

  get isReadable(): boolean {
    return (
      this.isSegment && ((this.type & architecture.TYPE_CODE) === 0 || (this.type & architecture.TYPE_READABLE) !== 0)
    )
  }

  get isWritableData(): boolean {
    return (
      this.isSegment &&
      (this.type & (architecture.TYPE_CODE | architecture.TYPE_WRITABLE)) === architecture.TYPE_WRITABLE
    )
  }

  get dpl(): number {
    return (this.high >>> (8 + architecture.ATTR_DPL_SHIFT)) & 3
  }

  get present(): boolean {
    return (this.high & (architecture.ATTR_P << 8)) !== 0
  }

  get isLong(): boolean {
    return (this.high & (architecture.ATTR_L << 8)) !== 0
  }

  get isBig(): boolean {
    return (this.high & (architecture.ATTR_DB << 8)) !== 0
  }

  get base(): number {
    return ((this.low >>> 16) | ((this.high & 0xff) << 16) | (this.high & 0xff00_0000)) >>> 0
  }

  get limit(): number {
    const raw = (this.low & 0xffff) | (this.high & 0xf_0000)
    return (this.high & (architecture.ATTR_G << 8)) === 0 ? raw : ((raw << 12) | 0xfff) >>> 0
  }

  /** Gates: the selector of the target. */
  get gateSelector(): number {
    return this.low >>> 16
  }

  /** Gates: the offset's low 32 bits; 16-bit gates use 16 of them. */
  get gateOffset(): number {
    return ((this.low & 0xffff) | (this.high & 0xffff_0000)) >>> 0
  }

  /** Call gates: parameters to copy. */
  get gateParameters(): number {
    return this.high & 0x1f
  }
}

/**
 * Reads the 8 bytes of a descriptor.
 *
 * @returns false if the selector is outside its table, or its table is missing
 */
export function readDescriptor(s: System, selector: number, into: Descriptor): boolean {
  const local = (selector & 4) !== 0
  if (local && !isUsable(s, LDTR)) return false
  const at = S_SEGMENTS + (local ? LDTR : GDTR) * SEG_BYTES
  if (((selector & 0xffff) | 7) > s.get(at + SEG_LIMIT)) return false
  const offset = selector & 0xfff8
  const baseLo = s.get(at + SEG_BASE)
  const baseHi = s.get(at + SEG_BASE + 4)
  into.selector = selector & 0xffff
  into.addressLo = (baseLo + offset) >>> 0
  into.addressHi = s.carryHi(baseLo, baseHi, offset)
  s.read(into.addressLo, into.addressHi, 8, SLOW_IMPLICIT)
  into.low = s.lo
  into.high = s.hi
  into.upper = 0
  return true
}

/** {@link readDescriptor}, with the exception `vector` and the selector as error code where there is none. */
export function requireDescriptor(s: System, selector: number, into: Descriptor, vector: number): void {
  if (!readDescriptor(s, selector, into)) s.raise(vector, selectorIndex(selector))
}

/**
 * IA-32e mode: reads the upper half of a 16-byte LDT, TSS or call-gate descriptor, whose type field (bits 12:8 of its
 * second word) must be clear.
 */
export function requireUpperHalf(s: System, d: Descriptor, vector: number): void {
  const local = (d.selector & 4) !== 0
  const limit = s.segmentField(local ? LDTR : GDTR, SEG_LIMIT)
  if ((d.selector & 0xfff8) + 15 > limit) s.raise(vector, selectorIndex(d.selector))
  const at = (d.addressLo + 8) >>> 0
  s.read(at, s.carryHi(d.addressLo, d.addressHi, 8), 8, SLOW_IMPLICIT)
  if ((s.hi & 0x1f00) !== 0) s.raise(vector, selectorIndex(d.selector))
  d.upper = s.lo
}

/** Queues the write that marks a segment as accessed, if it is not yet. */
export function queueAccessed(s: System, d: Descriptor): void {
  if ((d.type & architecture.TYPE_ACCESSED) !== 0) return
  d.high |= architecture.TYPE_ACCESSED << 8
  queueTypeByte(s, d)
}

/** Queues a write of the byte that holds type, S, DPL and P. */
export function queueTypeByte(s: System, d: Descriptor): void {
  const at = (d.addressLo + 5) >>> 0
  s.write(at, s.carryHi(d.addressLo, d.addressHi, 5), 1, (d.high >>> 8) & 0xff, 0, SLOW_IMPLICIT)
}

/** Loads a code, data, LDT or TSS descriptor into a segment register. */
export function setSegmentFrom(s: System, segment: number, selector: number, d: Descriptor): void {
  setSegment(s, segment, selector, d.base, d.upper, d.limit, d.attributes)
}

/**
 * Loads CS with the privilege level in its RPL. The level itself is SS.DPL: where it changes, SS is loaded as well. 64-bit
 * code has no base, whatever its descriptor says (SDM vol. 3A, "Code Segment Descriptor in 64-bit Mode").
 */
function setCodeSegment(s: System, selector: number, cpl: number, d: Descriptor): void {
  const base = s.longMode && d.isLong ? 0 : d.base
  setSegment(s, CS, (selector & 0xfffc) | cpl, base, 0, d.limit, d.attributes)
}

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
