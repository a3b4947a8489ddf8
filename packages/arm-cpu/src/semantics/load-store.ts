import { decodeLoadStoreA64, LoadStore, type Form as Row } from '@retrap/arm-decoder'
import { I32, I64, type V128 } from '@retrap/wasm-emitter'
import { ACCESS_ALIGNED, ACCESS_ELEMENT_SHIFT, ACCESS_UNPRIVILEGED } from '../state/access-rights.ts'
import type { ArmContext } from './context.ts'
import {
  ATOMIC_LOADS,
  ATOMIC_STORES,
  LOADS,
  SIGNED_LOADS,
  STORES,
  type ElementSize,
  valueOf,
  type ArmForm,
} from '../state/form.ts'
import type { KeyName } from '../state/saved-state.ts'
import { familyOf, type Family, type Semantics } from './semantics.ts'
import { R_A, R_D, R_N } from '../state/record.ts'
import { S_AUTHENTICATED } from '../state/state-layout.ts'
import { baseOf, extended } from './operands.ts'
import { authenticatedIfEnabled } from './pointer-authentication.ts'
import { extendedFrom } from './vector/lanes.ts'

/** Loads and stores of one and two registers. */

const scratch = /*#__PURE__*/ new LoadStore()

/** The decoded instruction; valid until the next one is decoded. */
function decoded(word: number): LoadStore {
  decodeLoadStoreA64(word, scratch)
  return scratch
}

/** The address of an access, and the base's new value. */
interface Address {
  readonly address: I64
  readonly writeBack: I64 | undefined
}

/** The key of LDRAA or LDRAB: bit 23. */
const keyOf = ({ value }: Row): KeyName => ((value & 0x80_0000) === 0 ? 'DA' : 'DB')

/** The base of LDRAA and LDRAB; a hypervisor that finishes the instruction finds it in the state. */
function authenticatedBase(c: ArmContext, given: I64, key: KeyName): I64 {
  const { f, state } = c
  const base = c.let(authenticatedIfEnabled(c, given, I64.of(0), key))
  f.store('i64.store', state, base, S_AUTHENTICATED)
  f.store('i64.store', state, given, S_AUTHENTICATED + 8)
  f.store('i32.store', state, I32.of(key === 'DA' ? 0 : 1), S_AUTHENTICATED + 16)
  return base
}

function addressOf(c: ArmContext, form: ArmForm): Address {
  const { attributes, fields } = form.row
  if (attributes.has('literal')) return { address: c.let(c.address().add(c.immediate)), writeBack: undefined }
  const given = baseOf(c, form)
  const base = attributes.has('pac') ? authenticatedBase(c, given, keyOf(form.row)) : given
  if (attributes.has('extended')) {
    // Options 2, 3, 6 and 7: UXTW, LSL, SXTW, SXTX.
    const index = extended(c.m(true), valueOf(form, 'e'))
    return {
      address: c.let(base.add(valueOf(form, 'S') === 0 ? index : index.shl(c.small.toI64U()))),
      writeBack: undefined,
    }
  }
  const addressing = fields.has('w') ? valueOf(form, 'w') : attributes.has('pre') ? 3 : attributes.has('post') ? 1 : 2
  if (form.row.immediateScale === 0) return { address: base, writeBack: undefined }
  const moved = c.let(base.add(c.immediate))
  return { address: addressing === 1 ? base : moved, writeBack: addressing === 2 ? undefined : moved }
}

/** The flags of an access for the host. */
function kindOf(row: Row): number {
  const element = Math.log2(row.size) << ACCESS_ELEMENT_SHIFT
  return (
    element |
    (row.attributes.has('unprivileged') ? ACCESS_UNPRIVILEGED : 0) |
    (row.attributes.has('acquire') || row.attributes.has('release') ? ACCESS_ALIGNED : 0)
  )
}

/** Which register file the transferred register is of: the letter before `t>`. */
function registerLetter(row: Row): string {
  return row.operands.charAt(row.operands.indexOf('t>') - 1)
}

const isVector = (row: Row): boolean => /^[BHSDQ]$/.test(registerLetter(row))

/** Loads a vector's low bytes, and clears the rest. */
function loadedVector(c: ArmContext, host: I32, size: number, offset: number): V128 {
  if (size === 16) return c.f.load('v128.load', host, offset)
  return c.zeroExtended(c.f.load(LOADS[size as ElementSize], host, offset))
}

function load(c: ArmContext, form: ArmForm): void {
  const { row } = form
  const { size } = row
  const { address, writeBack } = addressOf(c, form)
  const count = row.attributes.has('pair') ? 2 : 1
  const registers = [R_D, R_A].slice(0, count)
  c.load(address, size * count, kindOf(row), (host) => {
    if (isVector(row)) {
      const values = registers.map((_, i) => loadedVector(c, host, size, i * size))
      for (const [i, register] of registers.entries()) c.writeVector(register, values[i]!)
    } else {
      const isSigned = row.attributes.has('sx')
      const wide = registerLetter(row) === 'X'
      const values = registers.map((_, i) => {
        const element = size as ElementSize
        if (!row.attributes.has('acquire')) return c.f.load((isSigned ? SIGNED_LOADS : LOADS)[element], host, i * size)
        const value = c.f.load(ATOMIC_LOADS[element], host, i * size)
        return isSigned ? extendedFrom(value, 8 * size, true) : value
      })
      for (const [i, register] of registers.entries()) c.write(register, values[i]!, wide)
    }
  })
  if (writeBack !== undefined) c.write(R_N, writeBack, true)
}

function store(c: ArmContext, form: ArmForm): void {
  const { row } = form
  const { size } = row
  const { address, writeBack } = addressOf(c, form)
  const registers = row.attributes.has('pair') ? [R_D, R_A] : [R_D]
  c.store(address, size * registers.length, kindOf(row), (host) => {
    for (const [i, register] of registers.entries()) {
      const ops = row.attributes.has('release') ? ATOMIC_STORES : STORES
      if (!isVector(row)) c.f.store(ops[size as ElementSize], host, c.read(register, true), i * size)
      else if (size === 16) c.f.store('v128.store', host, c.readVector(register), i * size)
      else c.f.store(STORES[size as ElementSize], host, c.readVectorLow(register), i * size)
    }
  })
  if (writeBack !== undefined) c.write(R_N, writeBack, true)
}

const immediate = (row: Row, word: number): bigint => (row.immediateScale === 0 ? 0n : BigInt(decoded(word).offset))

const shift = (row: Row, word: number): number => (row.attributes.has('extended') ? decoded(word).shift : 0)

const transfer = (emit: Semantics['emit']): Semantics => ({
  selectors: 'weS',
  immediate,
  small: shift,
  usesStack: true,
  emit,
})

const loads = transfer(load)
const stores = transfer(store)

/** The family's semantics of a row. */
export const loadStore: Family<Semantics> = familyOf<Semantics>({
  load: (row) => (row.size === 0 ? undefined : loads),
  store: (row) => (row.size === 0 ? undefined : stores),
})
