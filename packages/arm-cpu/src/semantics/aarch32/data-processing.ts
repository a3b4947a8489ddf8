import { expandImmediateA32, expandImmediateT32, type Form as Row } from '@retrap/arm-decoder'
import { select, type I64 } from '@retrap/wasm-emitter'
import type { ArmContext } from '../context.ts'
import { flagsOfDifference, flagsOfSum, type Flags } from '../flags.ts'
import { fieldOf } from '../../state/form.ts'
import { isThumbRow, low, setFlagsOutside, type A32Form, type A32Semantics } from './semantics.ts'
import { shiftedByImmediate, shiftedByRegister, shiftImmediate, type Shifted } from './shifter.ts'

/** Data processing of A32: an operation of a register and a shifted operand. */

const LOGICAL: Readonly<Record<string, (a: () => I64, b: I64) => I64>> = {
  AND: (a, b) => a().and(b),
  EOR: (a, b) => a().xor(b),
  TST: (a, b) => a().and(b),
  TEQ: (a, b) => a().xor(b),
  ORR: (a, b) => a().or(b),
  ORN: (a, b) => a().or(b.xor(-1)),
  BIC: (a, b) => a().and(b.xor(-1)),
  MOV: (_a, b) => b,
  MVN: (_a, b) => b.xor(-1),
}

/** The operation; shifts are moves of a shifted register. */
const operationOf = (row: Row): string => {
  const name = row.name
  return name === '' || name === 'RRX' ? 'MOV' : name
}

const COMPARISONS: ReadonlySet<string> = new Set(['TST', 'TEQ', 'CMP', 'CMN'])

function operate(c: ArmContext, form: A32Form, { value, carry }: Shifted): void {
  const name = operationOf(form.row)
  const compares = COMPARISONS.has(name)
  const sets = compares || form.values.get('s') === 1
  const setFlags = (flags: Flags): void => (compares ? c.setFlags(flags) : setFlagsOutside(c, form, flags))
  const logical = LOGICAL[name]
  if (logical !== undefined) {
    const result = c.let(low(logical(() => c.n(false), value)))
    if (sets) {
      const n = result.extend32S()
      setFlags({ n, z: n, c: carry, v: c.flags.v })
    }
    if (!compares) c.setD(result, false)
    return
  }
  const operand = c.let(value)
  const first = c.let(c.n(false))
  const [a, b] = name.startsWith('RS') ? [operand, first] : [first, operand]
  const inverted = (number: I64): I64 => c.let(low(number.xor(-1)))
  const carryIn = (): I64 => c.flags.c.toI64U()
  switch (name) {
    case 'SUB':
    case 'RSB':
    case 'CMP': {
      const result = c.let(low(a.sub(b)))
      if (sets) setFlags(flagsOfDifference(a, b, result, false))
      if (!compares) c.setD(result, false)
      return
    }
    default: {
      const isBorrowing = name === 'SBC' || name === 'RSC'
      const second = isBorrowing ? inverted(b) : b
      const sum = a.add(second)
      const result = c.let(low(isBorrowing || name === 'ADC' ? sum.add(carryIn()) : sum))
      if (sets) setFlags(flagsOfSum(a, second, result, false))
      if (!compares) c.setD(result, false)
    }
  }
}

/** Kinds: the operand is not shifted, or may be. */
const PLAIN = 0
export const SHIFTED = 1

const ofShifted: A32Semantics = {
  selectors: 's',
  kinds: 2,
  kindOf: (row, word) => (shiftImmediate(row, word) === 0n ? PLAIN : SHIFTED),
  immediate: shiftImmediate,
  emit: (c, form) =>
    operate(c, form, form.kind === PLAIN ? { value: c.m(false), carry: c.flags.c } : shiftedByImmediate(c)),
}

/** RRX has no amount. */
const ofRotated: A32Semantics = { ...ofShifted, kindOf: () => SHIFTED, immediate: () => 4n << 32n }

const ofRegister: A32Semantics = {
  selectors: 's',
  small: (row, word) => fieldOf(row, 'k', word),
  emit: (c, form) => operate(c, form, shiftedByRegister(c)),
}

/** A constant; the high word says whether it was rotated, in which case its sign is the carry. */
const ofConstant: A32Semantics = {
  selectors: 's',
  immediate(row, word) {
    const bits = fieldOf(row, 'i', word)
    const isThumb = isThumbRow(row)
    const value = isThumb ? expandImmediateT32(bits) : expandImmediateA32(bits)
    return BigInt(value) | (bits >>> (isThumb ? 10 : 8) === 0 ? 0n : 1n << 32n)
  },
  emit(c, form) {
    const value = c.let(low(c.immediate))
    const isRotated = c.immediate.shrU(32).toI32()
    operate(c, form, { value, carry: select(isRotated, value.shrU(31).toI32(), c.flags.c) })
  },
}

const moveHalf: A32Semantics = {
  selectors: '',
  immediate: (row, word) => BigInt((fieldOf(row, 'h', word) << 12) | fieldOf(row, 'i', word)),
  emit(c, { row }) {
    const value = c.immediate
    c.setD(row.name === 'MOVT' ? c.d(false).and(0xffff).or(value.shl(16)) : value, false)
  },
}

/** The family's semantics of a row. */
export function dataProcessing(row: Row): A32Semantics | undefined {
  if (!['logical', 'add', 'compare', 'move'].includes(row.operation)) return undefined
  if (row.fields.has('h')) return moveHalf
  if (row.operands.includes('<constant>')) return ofConstant
  if (row.fields.has('a')) return ofRegister
  return row.name === 'RRX' ? ofRotated : ofShifted
}
