import { decodeLoadStoreA32, LoadStore, type Form as Row } from '@retrap/arm-decoder'
import { I32, select, type I64 } from '@retrap/wasm-emitter'
import { ACCESS_ALIGNED, ACCESS_ELEMENT_SHIFT } from '../../state/access-rights.ts'
import type { ArmContext } from '../context.ts'
import { ATOMIC_LOADS, ATOMIC_STORES, LOADS, SIGNED_LOADS, STORES, type ElementSize } from '../../state/form.ts'
import { R_A, R_D, R_N } from '../../state/record.ts'
import { S_R15, S_X } from '../../state/state-layout.ts'
import { familyOf, type Family } from '../semantics.ts'
import { interwork, low, type A32Form, type A32Semantics } from './semantics.ts'
import { shiftedByImmediate, shiftImmediate } from './shifter.ts'
import { emitClearExclusive, emitLoadExclusive, emitStoreExclusive, shapeOf } from '../exclusives.ts'

/** Loads and stores of A32: of one register, of two, and of several. */

/** Several words, each of which must be aligned. */
const WORDS: number = ACCESS_ALIGNED | (2 << ACCESS_ELEMENT_SHIFT)

const PC = 15

const access: LoadStore = /*#__PURE__*/ new LoadStore()

function decoded(word: number): LoadStore {
  decodeLoadStoreA32(word, access)
  return access
}

interface Address {
  readonly address: I64
  /** The base after the access, if it changes. */
  readonly writeBack: I64 | undefined
}

/** The address, by the bits P, U and W. */
function addressOf(c: ArmContext, { row, values }: A32Form): Address {
  const base = c.let(c.n(false))
  const offset = row.fields.has('m') ? shiftedByImmediate(c).value : c.immediate
  const sum = c.let(low(row.fields.has('m') && values.get('U') === 0 ? base.sub(offset) : base.add(offset)))
  const isPost = row.attributes.has('post') || values.get('P') === 0
  return { address: isPost ? base : sum, writeBack: isPost || values.get('W') === 1 ? sum : undefined }
}

function writeBackBase(c: ArmContext, { writeBack }: Address): void {
  if (writeBack !== undefined) c.write(R_N, writeBack, false)
}

/**
 * Returns the kind of an access to one register or two: word-aligned for two, naturally aligned if ordered.
 */
function kindOf({ size, attributes }: Row): number {
  if (attributes.has('couple')) return WORDS
  const isOrdered = attributes.has('acquire') || attributes.has('release')
  return (isOrdered ? ACCESS_ALIGNED : 0) | (Math.log2(size) << ACCESS_ELEMENT_SHIFT)
}

const registersOf = (row: Row): readonly number[] => (row.attributes.has('couple') ? [R_D, R_A] : [R_D])

function load(c: ArmContext, form: A32Form): void {
  const { row } = form
  const at = addressOf(c, form)
  const registers = registersOf(row)
  const size = row.size as ElementSize
  const ops = row.attributes.has('acquire') ? ATOMIC_LOADS : row.attributes.has('sx') ? SIGNED_LOADS : LOADS
  c.load(at.address, size * registers.length, kindOf(row), (host) => {
    const values = registers.map((_, i) => c.f.load(ops[size], host, i * size))
    // A base that is loaded is no base to be written: that is unpredictable.
    writeBackBase(c, at)
    for (const [i, register] of registers.entries()) c.write(register, values[i]!, false)
  })
}

function store(c: ArmContext, form: A32Form): void {
  const { row } = form
  const at = addressOf(c, form)
  const registers = registersOf(row)
  const size = row.size as ElementSize
  const ops = row.attributes.has('release') ? ATOMIC_STORES : STORES
  c.store(at.address, size * registers.length, kindOf(row), (host) => {
    for (const [i, register] of registers.entries()) c.f.store(ops[size], host, c.read(register, false), i * size)
  })
  writeBackBase(c, at)
}

const transfer: Pick<A32Semantics, 'selectors' | 'immediate'> = {
  selectors: 'PUW',
  immediate: (row, word) => (row.fields.has('m') ? shiftImmediate(row, word) : BigInt(decoded(word).offset)),
}

const loads: A32Semantics = { ...transfer, interworks: true, emit: load }
// The stored register may be the program counter.
const stores: A32Semantics = { ...transfer, keepsTarget: true, emit: store }

/** Of several: bits 15 to 0 of the immediate are the list, the others bytes to the first register, and to the new base. */
const START = 16n
const BYTE = 0xffn
const NEXT = 24n

/** The immediate of several. */
export function listOf({ list, start, offset, addressing }: LoadStore): bigint {
  const step = addressing === 0 ? 0 : offset
  return BigInt(list) | ((BigInt(start) & BYTE) << START) | ((BigInt(step) & BYTE) << NEXT)
}

/** Calls back with the state offset of each register of the list, from the lowest. */
function eachRegister(c: ArmContext, count: number, use: (at: I32, index: number) => void): void {
  const rest = c.f.local('i32')
  c.f.set(rest, c.immediate.toI32().and(0xffff))
  for (let i = 0; i < count; i++) {
    const number = c.let(rest.get.ctz())
    c.f.set(rest, rest.get.and(rest.get.sub(1)))
    use(c.let(c.state.add(select(number.eq(PC), I32.of(S_R15), number.shl(3).add(S_X)))), i)
  }
}

/** A signed byte of the immediate. */
const distance = (c: ArmContext, shift: bigint): I64 => c.immediate.shrU(shift).toI32().extend8S().toI64S()

const multiple = (emit: (c: ArmContext, count: number, address: I64) => void): A32Semantics => ({
  selectors: '',
  kinds: 17,
  kindOf: (_row, word) => decoded(word).elements,
  keepsTarget: true,
  namesPc: (word) => ((word >>> PC) & 1) !== 0,
  immediate: (_row, word) => listOf(decoded(word)),
  emit(c, { kind }) {
    if (kind !== 0) emit(c, kind, c.let(low(c.n(false).add(distance(c, START)))))
  },
})

const newBase = (c: ArmContext): I64 => low(c.n(false).add(distance(c, NEXT)))

const loadMultiple = multiple((c, count, address) => {
  c.load(address, 4 * count, WORDS, (host) => {
    const isTarget = c.let(c.immediate.toI32().shrU(PC).and(1))
    const target = c.let(c.f.load('i32.load', host, 4 * (count - 1)))
    c.write(R_N, newBase(c), false)
    eachRegister(c, count, (at, i) => c.f.store('i64.store', at, c.f.load('i64.load32_u', host, 4 * i)))
    c.f.if(isTarget, () => interwork(c, target))
  })
})

const storeMultiple = multiple((c, count, address) => {
  c.store(address, 4 * count, WORDS, (host) => {
    eachRegister(c, count, (at, i) => c.f.store('i32.store', host, c.f.loadExpression('i32.load', at), 4 * i))
  })
  c.write(R_N, newBase(c), false)
})

/** The family's semantics of a row. */
export function memory(row: Row): A32Semantics | undefined {
  const { attributes, operation, operands } = row
  if (operation !== 'load' && operation !== 'store') return undefined
  if (attributes.has('user') || attributes.has('return')) return undefined
  if (attributes.has('multiple')) return operation === 'load' ? loadMultiple : storeMultiple
  if (!operands.startsWith('<Rt>')) return undefined
  return operation === 'load' ? loads : stores
}

/** The address of load-exclusive and store-exclusive, which A64 defines. Only T32's have an offset. */
const exclusiveAddress = (c: ArmContext): I64 => c.let(low(c.n(false).add(c.immediate)))

const loadExclusive: A32Semantics = {
  selectors: '',
  keepsTarget: true,
  emit: (c, { row }) => emitLoadExclusive(c, exclusiveAddress(c), ...shapeOf(row)),
}

const storeExclusive: A32Semantics = {
  selectors: '',
  keepsTarget: true,
  emit: (c, { row }) => emitStoreExclusive(c, exclusiveAddress(c), ...shapeOf(row)),
}

const clearExclusive: A32Semantics = { selectors: '', keepsTarget: true, emit: (c) => emitClearExclusive(c) }

/** The family's semantics of a row. */
export const exclusives: Family<A32Semantics> = familyOf<A32Semantics>({
  'load-exclusive': loadExclusive,
  'store-exclusive': storeExclusive,
  barrier: ({ name }) => (name === 'CLREX' ? clearExclusive : undefined),
})
