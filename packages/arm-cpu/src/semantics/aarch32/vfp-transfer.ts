import type { Form as Row } from '@retrap/arm-decoder'
import { I32 } from '@retrap/wasm-emitter'
import type { ArmContext } from '../context.ts'
import { flagsOfBits } from '../flags.ts'
import { fieldOf } from '../../state/form.ts'
import { R_D, R_M, R_N } from '../../state/record.ts'
import { S_FPCR, S_FPSR } from '../../state/state-layout.ts'
import { FPCR_BITS, FPSR_BITS } from '../../state/float-rules.ts'
import { a64Plan, a64Rows, type A64Plan } from './vfp-a64.ts'
import { FRAME_4, FRAME_WHOLE } from './vfp-frame.ts'
import { ownKey, registersOf, type OwnForm, type VectorPlan } from './vfp-record.ts'

/** Moves between general-purpose registers and those of VFP, and FPSCR: FPCR's and FPSR's bits together. */

/** FPSCR's number among the registers of VMRS and VMSR: EL0 has no other. */
const FPSCR = 1

/** Two words of a pair of singles, or of a double. */
function writePair(c: ArmContext): void {
  const [low, high] = [c.n(false), c.m(false)]
  c.writeElement(R_D, I32.of(0), 4, low)
  c.writeElement(R_D, I32.of(1), 4, high)
}

function readPair(c: ArmContext): void {
  const [low, high] = [0, 1].map((i) => c.readElement(R_M, I32.of(i), 4))
  c.write(R_D, low!, false)
  c.write(R_N, high!, false)
}

function readControl(c: ArmContext): void {
  const { f, state } = c
  const both = f.loadExpression('i32.load', state, S_FPCR).or(f.loadExpression('i32.load', state, S_FPSR))
  c.setD(both.toI64U(), false)
}

function writeControl(c: ArmContext): void {
  const { f, state } = c
  const value = c.let(c.d(false).toI32())
  f.store('i32.store', state, value.and(FPCR_BITS), S_FPCR)
  f.store('i32.store', state, value.and(FPSR_BITS | 0), S_FPSR)
}

/** Transfers that A64 has nothing like, by the keys of their rows. */
export const TRANSFERS: readonly (readonly [key: string, emit: OwnForm])[] = [
  ['VMOV.to', writePair],
  ['VMOV.from', readPair],
  ['VMRS', readControl],
  ['VMRS.flags', (c) => c.setFlags(flagsOfBits(c.f.load('i32.load', c.state, S_FPSR).shrU(28)))],
  ['VMSR', writeControl],
]

/** The move of a row of A64, to or from a lane. */
function movePlan(name: string, operands: string, lane: number): A64Plan {
  return a64Plan(
    a64Rows(name).find(({ row }) => row.operands.startsWith(operands))!,
    { i: lane, f: 0 },
  )
}

function elementPlan(row: Row, word: number): A64Plan {
  const [, sign, bits = '32'] = /\.([SUF]?)(\d+)$/.exec(row.mnemonic) ?? []
  const letter = { 8: 'b', 16: 'h', 32: 's' }[Number(bits)]!
  const lane = fieldOf(row, 'l', word)
  if (!row.operands.startsWith('<R')) return movePlan('INS', `<Vd.${letter}[i]>, <W`, lane)
  return sign === 'S' ? movePlan('SMOV', `<Rd>, <Vn.${letter}`, lane) : movePlan('UMOV', `<Wd>, <Vn.${letter}`, lane)
}

const own = (name: string): A64Plan => ({ key: ownKey(name), small: 0, immediate: 0n })

/** Returns the record of a move; undefined for moves not permitted at EL0. */
export function transferPlan(row: Row, word: number): VectorPlan | undefined {
  const { feature, operands, operation } = row
  const registers = registersOf(row, word)
  if (operation === 'system') {
    if (operands.startsWith('<apsr>')) return { ...own('VMRS.flags'), ...registers, frame: FRAME_WHOLE }
    if (fieldOf(row, 'i', word) !== FPSCR) return undefined
    return { ...own(row.name), ...registers, frame: FRAME_WHOLE }
  }
  if (row.fields.has('u')) {
    return { ...own(operands.startsWith('<R') ? 'VMOV.from' : 'VMOV.to'), ...registers, frame: FRAME_WHOLE }
  }
  if (operands.startsWith('<S') && feature === 'FP16') {
    const half = a64Rows('FMOV').find((each) => each.row.operands === '<Hd>, <Rn>')!
    return { ...a64Plan(half, { f: 0 }), ...registers, frame: FRAME_4 }
  }
  return { ...elementPlan(row, word), ...registers, frame: FRAME_WHOLE }
}
