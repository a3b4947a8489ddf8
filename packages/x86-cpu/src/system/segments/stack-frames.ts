import { SLOW_IMPLICIT, SLOW_STACK } from '../../state/host.ts'
import { VECTOR_SS, VECTOR_TS } from '../../state/vectors.ts'
import * as S from '../../state/state-layout.ts'
import { ATTR_TYPE, RSP, TYPE_EXPAND_DOWN } from '../../state/architecture.ts'
import { isNull, queueAccessed, requireDescriptor, selectorIndex, type Descriptor } from './descriptors.ts'
import { partsOf, type System } from '../system.ts'

/** Pushes that are gathered into one access. */
const MAX_PUSHES = 8

/**
 * A stack that a frame is pushed on: the current one, or a more privileged one that the instruction is about to switch
 * to. RSP changes only with {@link store}.
 */
export class PushStack {
  /** Where the stack pointer stands now. */
  lo = 0
  hi = 0
  #width = 4
  #baseLo = 0
  #low = 0
  #high = 0
  #flags = 0
  #error = 0
  /** The number of values that are pushed and not queued yet: all of one size. */
  #count = 0
  #size = 0
  readonly #dataLo: Uint32Array = new Uint32Array(MAX_PUSHES)
  readonly #dataHi: Uint32Array = new Uint32Array(MAX_PUSHES)
  readonly #addressLo: Uint32Array = new Uint32Array(MAX_PUSHES)
  readonly #addressHi: Uint32Array = new Uint32Array(MAX_PUSHES)
  readonly #bytes: Uint8Array = new Uint8Array(8 * MAX_PUSHES)

  /** The current stack; a limit violation is #SS(0). */
  useCurrent(s: System): void {
    this.#count = 0
    this.lo = s.gpr(RSP)
    this.hi = s.gprHi(RSP)
    this.#width = s.stackAddressSize
    this.#flags = SLOW_STACK
    this.#error = 0
    if (this.#width === 8) return
    const at = S.S_SEGMENTS + S.SS * S.SEG_BYTES
    this.#baseLo = s.get(at + S.SEG_BASE)
    this.#low = s.get(at + S.SEG_LOW)
    this.#high = s.get(at + S.SEG_HIGH)
    if ((s.get(at + S.SEG_RIGHTS) & S.SEG_CAN_WRITE) === 0) this.#low = 0xffff_ffff
  }

  /** A flat 64-bit stack. `inner`: of a more privileged level. */
  useLong(s: System, lo: number, hi: number, inner: boolean): void {
    this.#count = 0
    this.lo = lo
    this.hi = hi
    this.#width = 8
    this.#flags = inner ? innerFlags(s) : SLOW_STACK
    this.#error = 0
  }

  /** The stack that `d` describes; a limit violation is #SS(selector). */
  useDescriptor(s: System, d: Descriptor, pointer: number): void {
    this.#count = 0
    this.lo = pointer
    this.hi = 0
    this.#width = d.isBig ? 4 : 2
    this.#baseLo = d.base
    this.#flags = innerFlags(s)
    this.#error = selectorIndex(d.selector)
    const limit = d.limit
    const down = (d.type & TYPE_EXPAND_DOWN) !== 0
    this.#low = down ? Math.min(limit + 1, 0xffff_ffff) : 0
    this.#high = down ? (d.isBig ? 0xffff_ffff : 0xffff) : limit
  }

  /** Pushes 2, 4 or 8 bytes. Nothing is checked but the segment's limit until {@link finish}. */
  push(s: System, size: number, dataLo: number, dataHi = 0): void {
    const next = this.lo - size
    if (this.#width === 8) {
      if (next < 0) this.hi = (this.hi - 1) >>> 0
      this.lo = next >>> 0
    } else {
      this.lo = this.#width === 2 ? ((this.lo & 0xffff_0000) | (next & 0xffff)) >>> 0 : next >>> 0
      const offset = this.#offset()
      if (offset < this.#low || offset + size - 1 > this.#high) s.raise(VECTOR_SS, this.#error)
    }
    if (this.#count === MAX_PUSHES || (this.#count > 0 && size !== this.#size)) this.finish(s)
    const i = this.#count++
    this.#size = size
    this.#dataLo[i] = dataLo
    this.#dataHi[i] = dataHi
    this.#addressLo[i] = this.#width === 8 ? this.lo : (this.#baseLo + this.#offset()) >>> 0
    this.#addressHi[i] = this.#width === 8 ? this.hi : 0
  }

  /** Checks and queues what has been pushed, in order; before `commit`, and before a read that may see it. */
  finish(s: System): void {
    const count = this.#count
    const size = this.#size
    this.#count = 0
    if (count === 0) return
    const last = count - 1
    const lo = this.#addressLo[last]!
    const hi = this.#addressHi[last]!
    const bytes = count * size
    // In one piece, if the frame is contiguous. Else, or if a fault is to come, one by one as the processor does.
    // Misaligned pushes are made one by one too: each may be an alignment check.
    if (lo + bytes - size === this.#addressLo[0] && hi === this.#addressHi[0] && (lo & (size - 1)) === 0) {
      for (let i = 0; i < count; i++) this.#place((last - i) * size, i, size)
      if (s.writeBlock(lo, hi, bytes, this.#bytes, 0, this.#flags | partsOf(size))) return
    }
    for (let i = 0; i < count; i++) {
      s.write(this.#addressLo[i]!, this.#addressHi[i]!, size, this.#dataLo[i]!, this.#dataHi[i]!, this.#flags)
    }
  }

  #offset(): number {
    return this.#width === 2 ? this.lo & 0xffff : this.lo
  }

  #place(at: number, i: number, size: number): void {
    const lo = this.#dataLo[i]!
    const hi = this.#dataHi[i]!
    for (let j = 0; j < size; j++) this.#bytes[at + j] = j < 4 ? lo >>> (8 * j) : hi >>> (8 * (j - 4))
  }

  /** Moves the pointer down to a 16-byte boundary, as interrupt delivery in IA-32e mode does. */
  align16(): void {
    this.lo = (this.lo & ~15) >>> 0
  }

  /** Makes this the stack pointer; after the last access. */
  store(s: System): void {
    const at = S.S_GPR + 8 * RSP
    if (this.#width === 2) s.set(at, this.lo)
    else s.set64(at, this.lo, this.#width === 8 ? this.hi : 0)
  }
}

/** Pushes on a more privileged stack have that level's rights, while the privilege level is still the old one. */
function innerFlags(s: System): number {
  return s.cpl === 3 ? SLOW_STACK | SLOW_IMPLICIT : SLOW_STACK
}

/** A privilege level's stack as the TSS has it. */
export class TssStack {
  selector = 0
  lo = 0
  hi = 0

  /** Outside IA-32e mode: SS:ESP or SS:SP of a level. @throws #TS(TR) where the TSS is too short */
  readLegacy(s: System, level: number): void {
    const at = S.S_SEGMENTS + S.TR * S.SEG_BYTES
    const wide = (s.get(at + S.SEG_ATTRIBUTES) & ATTR_TYPE) >= 8
    const offset = wide ? 4 + level * 8 : 2 + level * 4
    const base = this.#locate(s, offset, wide ? 6 : 4)
    this.lo = s.readSystem(base, 0, wide ? 4 : 2)
    this.hi = 0
    this.selector = s.readSystem((base + (wide ? 4 : 2)) >>> 0, 0, 2)
  }

  /** IA-32e mode: RSPn for slots 0–2, IST1–IST7 for slots 3 + n. @throws #TS(TR) */
  readLong(s: System, slot: number): void {
    const offset = slot < 3 ? 4 + slot * 8 : 36 + (slot - 4) * 8
    const base = this.#locate(s, offset, 8)
    s.readSystem(base, s.carryHi(s.segmentField(S.TR, S.SEG_BASE), s.segmentField(S.TR, S.SEG_BASE + 4), offset), 8)
    this.lo = s.lo
    this.hi = s.hi
    this.selector = 0
  }

  #locate(s: System, offset: number, size: number): number {
    if (offset + size - 1 > s.segmentField(S.TR, S.SEG_LIMIT)) {
      s.raise(VECTOR_TS, selectorIndex(s.segmentField(S.TR, S.SEG_SELECTOR)))
    }
    return (s.segmentField(S.TR, S.SEG_BASE) + offset) >>> 0
  }
}

/** Checks the stack segment that the TSS names for `level` and marks it accessed. */
export function checkInnerStack(s: System, selector: number, level: number, into: Descriptor): void {
  const error = selectorIndex(selector)
  if (isNull(selector)) s.raise(VECTOR_TS, error)
  requireDescriptor(s, selector, into, VECTOR_TS)
  if ((selector & 3) !== level || into.dpl !== level || !into.isWritableData) s.raise(VECTOR_TS, error)
  if (!into.present) s.raise(VECTOR_SS, error)
  queueAccessed(s, into)
}
