import type { Form as Row } from '@retrap/arm-decoder'
import { extractLane, type I32, type I64, type V128 } from '@retrap/wasm-emitter'
import { ACCESS_ELEMENT_SHIFT } from '../state/access-rights.ts'
import type { ArmContext } from './context.ts'
import { fieldOf, valueOf, type ArmForm, LOADS, STORES, type ElementSize } from '../state/form.ts'
import type { Semantics } from './semantics.ts'
import { R_D, R_MORE, R_N } from '../state/record.ts'
import { baseOf } from './operands.ts'
import { splat } from './vector/lanes.ts'

/** LD1 to LD4 and ST1 to ST4: loads and stores of SIMD structures, with one register for each element. */

/** The registers and elements that a form transfers. */
export interface Shape {
  /** Bytes of an element. */
  readonly size: ElementSize
  readonly registers: number
  /** Bytes of a register: 8 or 16. */
  readonly width: number
  /** Bytes in memory. */
  readonly bytes: number
}

/** The registers of an access: a sequence, structures, one lane, or one element for all lanes. */
export type Access = 'sequence' | 'structure' | 'lane' | 'all'

/** The registers that the instructions of a row access. */
export function accessOf({ attributes, fields }: Row): Access {
  if (attributes.has('replicate')) return 'all'
  if (attributes.has('lane') || fields.has('l')) return 'lane'
  return attributes.has('sequence') ? 'sequence' : 'structure'
}

function shapeOf(row: Row, field: (letter: string) => number): Shape {
  const size = (row.size || 1 << field('z')) as ElementSize
  const width = field('Q') === 1 ? 16 : 8
  const { registers } = row
  const access = accessOf(row)
  return { size, registers, width, bytes: registers * (access === 'lane' || access === 'all' ? size : width) }
}

/** The field of the record that names a register of the list. */
const registerOf = (i: number): number => (i === 0 ? R_D : R_MORE + 2 * (i - 1))

/** Where the byte of a vector comes from: which of the sources, and which of its bytes. */
type Pick = (byte: number) => readonly [source: number, byte: number]

/** A vector whose bytes are picked from several. */
function picked(sources: readonly V128[], pick: Pick): V128 {
  const bytes = Array.from({ length: 16 }, (_, i) => pick(i))
  const used = [...new Set(bytes.map(([source]) => source))]
  let result = sources[used[0]!]!
  for (const [round, source] of used.entries()) {
    if (round === 0 && used.length > 1) continue
    const lanes = bytes.map(([from, byte], i) => {
      if (from === source) return 16 + byte
      // The byte is there already: from the first source, or put into its place in a round before.
      return round === 1 && from === used[0] ? byte : i
    })
    result = result.shuffle(sources[source]!, lanes)
  }
  return result
}

/** The first bytes of a vector, and zeros. */
const low = (c: ArmContext, vector: V128, width: number): V128 =>
  width === 16 ? vector : c.zeroExtended(extractLane('i64x2.extract_lane', vector, 0))

/** The vectors that memory holds; of an odd number of halves the last has zeros above. */
function loaded(c: ArmContext, host: I32, bytes: number): V128[] {
  return Array.from({ length: Math.ceil(bytes / 16) }, (_, i) =>
    bytes - 16 * i < 16
      ? c.let(c.zeroExtended(c.f.load('i64.load', host, 16 * i)))
      : c.f.load('v128.load', host, 16 * i),
  )
}

/** The vectors of structures in memory; of those of half the bytes the low halves count. */
function loadedStructures(c: ArmContext, host: I32, shape: Shape, isSequence: boolean): V128[] {
  const { size, registers, width, bytes } = shape
  const vectors = loaded(c, host, bytes)
  return Array.from({ length: registers }, (_, r) => {
    const pick: Pick = (byte) => {
      const inRegister = byte % width
      const element = Math.floor(inRegister / size)
      const at = isSequence ? r * width + inRegister : (element * registers + r) * size + (inRegister % size)
      return [Math.floor(at / 16), at % 16]
    }
    return picked(vectors, pick)
  })
}

/** Stores structures of whole registers. */
function storeStructures(c: ArmContext, host: I32, shape: Shape, isSequence: boolean): void {
  const { size, registers, width, bytes } = shape
  const sources = Array.from({ length: registers }, (_, r) => c.readVector(registerOf(r)))
  for (let start = 0; start < bytes; start += 16) {
    const pick: Pick = (byte) => {
      const at = (start + byte) % bytes
      if (isSequence) return [Math.floor(at / width), at % width]
      const element = Math.floor(at / size / registers)
      return [Math.floor(at / size) % registers, element * size + (at % size)]
    }
    const vector = picked(sources, pick)
    if (bytes - start >= 16) c.f.store('v128.store', host, vector, start)
    else c.f.store('i64.store', host, extractLane('i64x2.extract_lane', vector, 0), start)
  }
}

/** Loads registers from the host's address of an access. @param write - writes a whole register, by the record's field */
export function loadRegisters(
  c: ArmContext,
  host: I32,
  access: Access,
  shape: Shape,
  lane: () => I32,
  write: (field: number, vector: V128) => void,
): void {
  const { size, registers } = shape
  if (access === 'sequence' || access === 'structure') {
    const vectors = loadedStructures(c, host, shape, access === 'sequence')
    for (const [i, vector] of vectors.entries()) write(registerOf(i), vector)
    return
  }
  const elements = Array.from({ length: registers }, (_, i) => c.f.load(LOADS[size], host, i * size))
  for (const [i, element] of elements.entries()) {
    if (access === 'all') write(registerOf(i), splat(element, 8 * size))
    else c.writeElement(registerOf(i), lane(), size, element)
  }
}

/** Stores registers to the host's address of an access. */
export function storeRegisters(c: ArmContext, host: I32, access: Access, shape: Shape, lane: () => I32): void {
  const { size, registers } = shape
  if (access !== 'lane') storeStructures(c, host, shape, access === 'sequence')
  else {
    for (let i = 0; i < registers; i++) {
      c.f.store(STORES[size], host, c.readElement(registerOf(i), lane(), size), i * size)
    }
  }
}

/** In the small number, beside the lane: the bytes of the access are added to the base. */
export const ADDS_BYTES = 0x80

/** Adds the bytes of the access, or an index register, to the base. Index register 31 is the former, and reads as zero. */
function moveBase(c: ArmContext, form: ArmForm, base: I64, bytes: number): void {
  if (!form.row.attributes.has('post')) return
  const added = c.small.shrU(7).mul(bytes).toI64U()
  c.write(R_N, base.add(c.m(true)).add(added), true)
}

export const kindOf = (size: number): number => Math.log2(size) << ACCESS_ELEMENT_SHIFT

/** @param access - accesses the registers in memory from the base on */
const structure = (access: (c: ArmContext, row: Row, shape: Shape, base: I64) => void): Semantics => ({
  selectors: 'zQ',
  usesStack: true,
  small: (row, word) => (fieldOf(row, 'm', word) === 31 ? ADDS_BYTES : 0) | fieldOf(row, 'l', word),
  emit(c, form) {
    const shape = shapeOf(form.row, (letter) => valueOf(form, letter))
    const base = baseOf(c, form)
    access(c, form.row, shape, base)
    moveBase(c, form, base, shape.bytes)
  },
})

const loads = /*#__PURE__*/ structure((c, row, shape, base) => {
  const { size, width, bytes } = shape
  const write = (field: number, vector: V128): void => c.writeVector(field, low(c, vector, width))
  c.load(base, bytes, kindOf(size), (host) => loadRegisters(c, host, accessOf(row), shape, () => c.lane, write))
})

const stores = /*#__PURE__*/ structure((c, row, shape, base) =>
  c.store(base, shape.bytes, kindOf(shape.size), (host) => storeRegisters(c, host, accessOf(row), shape, () => c.lane)),
)

/** The family's semantics of a row. */
export function structures(row: Row): Semantics | undefined {
  if (row.registers === 0) return undefined
  return row.operation === 'load' ? loads : stores
}
