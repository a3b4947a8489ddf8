import { I32, type I64, V128, numeric, replaceLane, type Value } from '@retrap/wasm-emitter'
import type { SharedFunction } from '@retrap/soft-float'
import { loadOp } from '../../semantics/integer.ts'
import type { Context } from '../../semantics/context.ts'
import type { TlbEntry } from '../../semantics/memory-context.ts'
import * as S from '../../state/state-layout.ts'
import { bitsBelow, laneMask } from './elements.ts'
import { maskedProbe, maskedRead, maskedStore, maskedWrite } from './masked-memory.ts'

/**
 * Memory operands of instructions with EVEX: elements that the mask leaves out are not accessed, and one element may be repeated.
 *
 * Source: Intel SDM vol. 2A, "Memory Operand Broadcast", "Exception Classifications of EVEX-Encoded Instructions".
 */

/** Bit of R_EVEX: the element of memory is repeated. */
export const EVEX_B = 16

/** The context of an instruction whose accesses are made here. */
export interface MaskedContext extends Context {
  /** The mask, of which the bits of elements count; undefined where all elements are computed. */
  mask: I64 | undefined
  /** R_EVEX of the record. */
  readonly control: I32
  /** The mask's bits of the elements: all of them where there is no mask. */
  maskBits(): I64
  /** Emits accesses that the TLB does not help. */
  beyondTlb(build: () => void): void
  /** Makes accesses by a function; leaves the instruction unless they are done. */
  callAccess(callee: SharedFunction<'i32'>, ...operands: readonly Value[]): void
  /** Reads a vector as if it were all accessed: zeros above it. */
  readWhole(ea: I64, size: number): readonly V128[]
  /** Reads one element, zero-extended. */
  readElement(ea: I64, bytes: number): I64
}

/** Whether only a part of the operand may be accessed. */
export function isPart(c: MaskedContext): boolean {
  const { broadcast, isSuppressing, isScalar } = c.form.evex!
  if (isScalar) return false
  return (broadcast > 0 && c.control.and(EVEX_B).known !== 0) || (isSuppressing && c.mask !== undefined)
}

/** Reads a vector of memory of which only a part may be accessed, zeros above it. */
export function readPart(c: MaskedContext, ea: I64, size: number): readonly V128[] {
  const { f } = c
  const { broadcast, isSuppressing } = c.form.evex!
  const isMasked = isSuppressing && c.mask !== undefined
  const lanes = Array.from({ length: Math.max(1, size >> 4) }, () => f.local('v128'))
  const give = (values: readonly V128[]): void => lanes.forEach((lane, i) => f.set(lane, values[i] ?? values[0]!))
  const repeated = (): void => {
    if (broadcast > 0) give([repeatedElement(c, ea, broadcast)])
  }
  const some = (at: I32, offset: number): void => give(lanes.map((_, i) => vectorAt(c, at, offset + 16 * i, size)))
  f.if(
    c.control.and(EVEX_B),
    () => {
      if (isMasked) f.if(memoryBits(c, size).ne(0), repeated, () => give([V128.of([])]))
      else repeated()
    },
    () => {
      if (isMasked) readElements(c, ea, size, some)
      else give(c.readWhole(ea, size))
    },
  )
  return lanes.map(({ get }) => get)
}

/** The load of a vector's lowest bytes, zeros above. */
export function loadOf(size: number): 'v128.load' | 'v128.load64_zero' | 'v128.load32_zero' {
  return size >= 16 ? 'v128.load' : size === 8 ? 'v128.load64_zero' : 'v128.load32_zero'
}

export function lowWord(value: I64): V128 {
  return replaceLane('i64x2.replace_lane', V128.of([]), 0, value)
}

/** A vector in machine memory. */
function vectorAt(c: Context, at: I32, offset: number, size: number): V128 {
  if (size > 2) return c.f.loadExpression(loadOf(size), at, offset)
  return lowWord(c.f.loadExpression(loadOp(size, false), at, offset))
}

function repeatedElement(c: MaskedContext, ea: I64, bytes: number): V128 {
  const value = c.readElement(ea, bytes)
  if (bytes === 8) return c.let(numeric('i64x2.splat', value))
  return c.let(numeric(bytes === 4 ? 'i32x4.splat' : 'i16x8.splat', value.toI32()))
}

/** Bytes of the elements of the memory operand. */
function memoryBytes({ form }: Context): number {
  const { elementBytes, isRepeated } = form.evex!
  return elementBytes[isRepeated ? 0 : form.operands.findIndex(({ kind }) => kind === 'mem')]!
}

/** The elements of the memory operand that are for results under the mask. */
function memoryBits(c: MaskedContext, size: number): I64 {
  const { elements, isRepeated } = c.form.evex!
  const count = size / memoryBytes(c)
  let bits = c.let(c.maskBits())
  if (isRepeated) for (let upper = elements / 2; upper >= count; upper /= 2) bits = c.let(bits.or(bits.shrU(upper)))
  return c.let(bitsBelow(count, bits))
}

/** Reads the elements under the mask: at once where the TLB knows all of the operand. */
function readElements(c: MaskedContext, ea: I64, size: number, take: (at: I32, offset: number) => void): void {
  const { f } = c
  const { host, distance } = look(c, ea, S.TLB_READ)
  const access = (): void => {
    const bits = memoryBits(c, size)
    const bytes = memoryBytes(c)
    f.if(
      bits.eq(bitsBelow(size / bytes)),
      () => {
        c.slow(ea, size | c.accessFlags)
        take(f.param(0, 'i32').get, S.S_DATA)
      },
      () => {
        c.callAccess(maskedRead(c), ea, bits, I32.of(bytes))
        take(f.param(0, 'i32').get, S.S_SCRATCH)
      },
    )
  }
  f.if(
    distance.ltU(0x1001 - size),
    () => take(c.let(host.add(distance.toI32())), 0),
    () => c.beyondTlb(access),
  )
}

/** The TLB's entry of an address, which is not filled here. */
function look(c: Context, ea: I64, table: number): TlbEntry {
  const entry = c.let(c.tlbEntry(ea))
  const page = c.f.load('i64.load', entry, table)
  return { host: c.f.load('i32.load', entry, table + 8), distance: c.let(ea.sub(page)) }
}

/** Checks that the elements under the mask can be written. */
export function probePart(c: MaskedContext, ea: I64, size: number): void {
  const { distance } = look(c, ea, S.TLB_WRITE_OFFSET)
  const bytes = I32.of(c.form.evex!.elementBytes[0]!)
  c.f.if(distance.geU(0x1001 - size), () =>
    c.beyondTlb(() => c.callAccess(maskedProbe(c), ea, c.let(c.maskBits()), bytes)),
  )
}

/** Writes the elements of operand 0 under the mask, as `put` leaves them; `whole` writes all of them. */
export function writePart(
  c: MaskedContext,
  ea: I64,
  size: number,
  put: (at: I32, offset: number) => void,
  whole: () => void,
): void {
  const bits = c.let(c.maskBits())
  c.f.if(bits.eq(bitsBelow(c.form.evex!.elements)), whole, () => writeElements(c, ea, size, bits, put))
}

/** Writes elements of operand 0, whose bits are set. */
function writeElements(
  c: MaskedContext,
  ea: I64,
  size: number,
  bits: I64,
  put: (at: I32, offset: number) => void,
): void {
  const { f } = c
  const state = f.param(0, 'i32').get
  const elementBytes = c.form.evex!.elementBytes[0]!
  const bytes = I32.of(elementBytes)
  const { host, distance } = look(c, ea, S.TLB_WRITE_OFFSET)
  put(state, S.S_SCRATCH)
  const store = (): void => {
    const to = c.let(host.add(distance.toI32()))
    if (c.library.isPrivate !== true || size < 16) {
      f.call(maskedStore(c), to, state.add(S.S_SCRATCH), bits, bytes)
      return
    }
    // No other thread can have changed the elements that are left out.
    for (let at = 0; at < size; at += 16) {
      const [value, old] = [f.load('v128.load', state, S.S_SCRATCH + at), f.load('v128.load', to, at)]
      f.store('v128.store', to, numeric('v128.bitselect', value, old, laneMask(c, bits, at >> 4, elementBytes)), at)
    }
  }
  f.if(distance.ltU(0x1001 - size), store, () => c.beyondTlb(() => c.callAccess(maskedWrite(c), ea, bits, bytes)))
}
