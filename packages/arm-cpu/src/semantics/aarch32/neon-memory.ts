import type { Form as Row } from '@retrap/arm-decoder'
import { extractLane, I32, type I64, type V128 } from '@retrap/wasm-emitter'
import { ACCESS_WRITE } from '../../state/access-rights.ts'
import type { ArmContext } from '../context.ts'
import type { ElementSize } from '../../state/form.ts'
import { R_M, R_N } from '../../state/record.ts'
import { accessOf, ADDS_BYTES, kindOf, loadRegisters, storeRegisters, type Access, type Shape } from '../structures.ts'
import { S_ZERO } from '../../state/state-layout.ts'
import { type OwnForm, coreRegister, doubleAt, ownKey, type VectorPlan } from './vfp-record.ts'
import { low, type A32Semantics } from './semantics.ts'
import { FRAME_WHOLE, planned } from './vfp-frame.ts'
import { decodedVector } from './vfp-memory.ts'

/**
 * VLD1 to VLD4 and VST1 to VST4. Two registers that follow one another are one of 16 bytes. In the small number are the lane,
 * the alignment that the instruction asks for as a power of two, and `ADDS_BYTES`.
 */

const ALIGNMENT_SHIFT = 4

function writeRegister(c: ArmContext, field: number, width: number, vector: V128): void {
  if (width === 16) c.writeVector(field, vector)
  else c.writeElement(field, I32.of(0), 8, extractLane('i64x2.extract_lane', vector, 0))
}

/** The base, if it moves: by a register, or by the bytes of the access. */
function moveBase(c: ArmContext, base: I64, bytes: number): void {
  const { f, record } = c
  const adds = c.let(c.small.shrU(Math.log2(ADDS_BYTES)))
  const isIndexed = f.loadExpression('i32.load16_u', record, R_M).ne(S_ZERO)
  f.if(isIndexed.or(adds), () => c.write(R_N, low(base.add(c.m(false)).add(adds.mul(bytes).toI64U())), false))
}

function baseOf(c: ArmContext, kind: number): I64 {
  const base = c.let(c.n(false))
  c.requireAlignment(base, c.let(c.small.shrU(ALIGNMENT_SHIFT).and(7)), kind)
  return base
}

const lane = (c: ArmContext): I32 => c.small.and(7)

const load =
  (access: Access, shape: Shape): OwnForm =>
  (c) => {
    const { size, width, bytes } = shape
    const base = baseOf(c, bytes)
    c.load(base, bytes, kindOf(size), (host) =>
      loadRegisters(
        c,
        host,
        access,
        shape,
        () => lane(c),
        (field, vector) => writeRegister(c, field, width, vector),
      ),
    )
    moveBase(c, base, bytes)
  }

const store =
  (access: Access, shape: Shape): OwnForm =>
  (c) => {
    const { size, bytes } = shape
    const base = baseOf(c, bytes | ACCESS_WRITE)
    c.store(base, bytes, kindOf(size), (host) => storeRegisters(c, host, access, shape, () => lane(c)))
    moveBase(c, base, bytes)
  }

const SIZES: readonly ElementSize[] = [1, 2, 4, 8]

function* shapes(): Iterable<readonly [what: Access, shape: Shape]> {
  for (const size of SIZES) {
    for (const registers of [1, 2, 3, 4]) {
      yield ['sequence', { size, registers, width: 8, bytes: 8 * registers }]
      if (size === 8) continue
      yield ['lane', { size, registers, width: 8, bytes: size * registers }]
      yield ['all', { size, registers, width: 8, bytes: size * registers }]
      if (registers > 1) yield ['structure', { size, registers, width: 8, bytes: 8 * registers }]
      if (registers === 1) yield ['all', { size, registers, width: 16, bytes: size }]
      if (registers === 2) yield ['structure', { size, registers, width: 16, bytes: 32 }]
    }
  }
}

const nameOf = (what: Access, { size, registers, width }: Omit<Shape, 'bytes'>): string =>
  `${what}.${size}.${registers}.${width}`

/** Returns the forms by key. */
export function* neonAccesses(): Iterable<readonly [key: string, emit: OwnForm]> {
  for (const [what, shape] of shapes()) {
    yield [`VLD.${nameOf(what, shape)}`, load(what, shape)]
    if (what !== 'all') yield [`VST.${nameOf(what, shape)}`, store(what, shape)]
  }
}

function planOf(row: Row, word: number): VectorPlan {
  const access = decodedVector(word)
  const { rt, rn, rm, step, elementSize, alignment, addressing, offset } = access
  const { registers } = row
  const what = accessOf(row)
  const isWide = what === 'all' && registers === 1 ? access.list === 2 : row.attributes.has('doubled')
  const size = elementSize as ElementSize
  const distance = isWide ? 2 : step
  const [d = 0, ...more] = Array.from({ length: registers }, (_, i) => doubleAt(rt + i * distance))
  const adds = addressing !== 0 && offset !== 0 ? ADDS_BYTES : 0
  const name = nameOf(what, { size, registers, width: isWide ? 16 : 8 })
  return {
    key: ownKey(`${row.operation === 'load' ? 'VLD' : 'VST'}.${name}`),
    frame: FRAME_WHOLE,
    d,
    n: coreRegister(rn),
    m: rm < 0 ? S_ZERO : coreRegister(rm),
    a: 0,
    small: Math.max(access.lane, 0) | (Math.log2(alignment) << ALIGNMENT_SHIFT) | adds,
    immediate: 0n,
    more,
  }
}

/** The family's semantics of a row. */
export function neonMemory(row: Row): A32Semantics | undefined {
  return row.registers === 0 ? undefined : planned((word) => planOf(row, word))
}
