/** Random instructions of VFP and Advanced SIMD of A32 and T32 on random state, here and under qemu-arm. */
import { a32Forms, decodeLoadStoreA32, extract, findA32, formatA32, LoadStore } from '@retrap/arm-decoder'
import type { Form as Row } from '@retrap/arm-decoder'
import { ARM, WINDOW } from '@retrap/tooling/arm-native'
import { a32SemanticsOf } from '../../src/semantics/aarch32/forms.ts'
import { PSTATE_NRW, PSTATE_T } from '../../src/state/pstate.ts'
import { compareCases, isVectorRow, thumbCode } from './compare-a32.ts'
import type { Case } from './compare-a32.ts'
import type { Random } from './compare-instructions.ts'
import { controlOf, SHORT_VECTORS } from './deviations.ts'
import { floatValue, statusValue } from './float-values.ts'

const DATA = 0x1000_0000
const CPSR = 60
const D = 64
const FPSCR = D + 256
const PC = 15

/** The rows that a comparison is about. */
export const comparedVfpRows = (): Row[] =>
  a32Forms().filter((row) => isVectorRow(row) && a32SemanticsOf(row) !== undefined)

const NOP = 0xe320_f000

/** The bits that are fields. The others should be zero, where a row leaves them open. */
const fieldBits = ({ fields }: Row): number =>
  [...fields.values()]
    .flatMap(({ pieces }) => pieces)
    .reduce((bits, piece) => bits | ((2 ** (piece >> 8) - 1) << (piece & 255)), 0)

const isAccess = ({ operation }: Row): boolean => operation === 'load' || operation === 'store'

const insn = new LoadStore()

/** Has the address of an access lie in the window, about the border of two pages, and as it must be aligned. */
function placeBase(row: Row, word: number, state: DataView, random: Random): void {
  decodeLoadStoreA32(word, insn)
  const { rn, alignment, elementSize, start, offset } = insn
  const aligned = row.registers === 0 ? Math.min(elementSize, 4) : alignment
  const isOne = row.registers === 0 && !row.attributes.has('vectors')
  const first = (DATA + 4096 + (random() % 96) - 64) & -aligned
  state.setUint32(4 * rn, (first - (isOne ? offset : start)) >>> 0, true)
}

/** Leaves out what the manual calls unpredictable. */
function suits(row: Row, word: number): boolean {
  const field = (letter: string): number => extract(row.fields.get(letter), word)
  const has = (letter: string): boolean => row.fields.has(letter)
  if (['t', 'u'].some((letter) => has(letter) && row.operands.includes(`<R${letter}>`) && field(letter) === PC))
    return false
  if (has('t') && has('u') && field('t') === field('u') && row.operands.startsWith('<Rt>')) return false
  // Other registers of VFP are not for EL0.
  if (row.attributes.has('fpsystem') && field('i') !== 1) return false
  // Fractions of fewer bits than none.
  const fraction = /<fraction(\d+)>/.exec(row.operands)
  if (fraction !== null && ((field('i') & 15) << 1) + (field('i') >> 4) > Number(fraction[1])) return false
  // The program counter as a base has a test of its own.
  if (isAccess(row) && field('n') === PC) return false
  // Two registers that are written.
  if (/^V(?:SWP|TRN|UZP|ZIP)/.test(row.mnemonic) && field('d') === field('m')) return false
  return true
}

function wordOf(row: Row, random: Random): number | undefined {
  const bits = fieldBits(row)
  for (let tries = 0; tries < 1000; tries++) {
    let word = ((random() & bits) | row.value) >>> 0
    if (row.fields.has('c') && (random() & 3) !== 0) word = ((word & 0xfff_ffff) | 0xe000_0000) >>> 0
    if (findA32(word)?.index === row.index && suits(row, word)) return word
  }
  return undefined
}

/** The T32 instruction that is the same as one of A32, which always holds. */
function wideOf(word: number): number {
  if (word >>> 25 === 0x79) return (0xef00_0000 | ((word & 0x100_0000) << 4) | (word & 0xff_ffff)) >>> 0
  if (word >>> 24 === 0xf4) return (0xf900_0000 | (word & 0xff_ffff)) >>> 0
  return word >>> 28 === 15 ? word : ((word & 0xfff_ffff) | 0xe000_0000) >>> 0
}

function caseOf(row: Row, random: Random, thumb: boolean): Case | undefined {
  const word = wordOf(row, random)
  if (word === undefined) return undefined
  const state = new Uint8Array(ARM.stateBytes)
  const view = new DataView(state.buffer)
  for (let i = 0; i < 15; i++) view.setUint32(4 * i, random(), true)
  view.setUint32(CPSR, (random() & 0xf000_0000) >>> 0, true)
  for (let i = 0; i < 32; i++) {
    const bits = (random() & 1) === 0 ? floatValue(random) : (BigInt(random()) << 32n) | BigInt(random())
    view.setBigUint64(D + 8 * i, bits, true)
  }
  // As of FJCVTZS: see `deviations.ts`.
  const control = Number(controlOf(row.mnemonic, random) | statusValue(random)) | (random() & 0xf000_0000)
  view.setUint32(FPSCR, control >>> 0, true)
  const window = new Uint8Array(WINDOW)
  for (let i = 0; i < WINDOW; i++) window[i] = random()
  if (isAccess(row)) placeBase(row, word, view, random)
  const text = `${formatA32(word) ?? '?'} (fpscr ${(control >>> 0).toString(16)})`
  if (!thumb) return { thumb, code: [word, NOP], state, window, text }
  view.setUint32(CPSR, (view.getUint32(CPSR, true) | PSTATE_T) >>> 0, true)
  return { thumb, code: thumbCode(row, wideOf(word), random), state, window, text }
}

const FPCR_BITS = 0x07c8_0000
const FPSR_BITS = 0xf800_009f

/** Compares `count` cases of each row. @param thumb - of T32, half of them in IT blocks */
export function compareVfp(
  rows: readonly Row[],
  count: number,
  random: Random,
  thumb = false,
): ReturnType<typeof compareCases> {
  return compareCases(
    rows,
    count,
    (row) => caseOf(row, random, thumb),
    (registers, before) => {
      for (let i = 0; i < 16; i++) {
        registers.setV(i, before.getBigUint64(D + 16 * i, true) | (before.getBigUint64(D + 16 * i + 8, true) << 64n))
      }
      registers.pstate = thumb ? PSTATE_NRW | PSTATE_T : PSTATE_NRW
      registers.nzcv = before.getUint32(CPSR, true)
      registers.fpcr = before.getUint32(FPSCR, true) & FPCR_BITS
      registers.fpsr = (before.getUint32(FPSCR, true) & FPSR_BITS) >>> 0
    },
    (registers, after, compare) => {
      for (let i = 0; i < 32; i++) {
        const our = BigInt.asUintN(64, registers.v(i >> 1) >> BigInt(64 * (i & 1)))
        compare(`d${i}`, our, after.readBigUInt64LE(D + 8 * i))
      }
      compare('flags', BigInt(registers.nzcv), BigInt((after.readUInt32LE(CPSR) & 0xf000_0000) >>> 0))
      const fpscr = (registers.fpcr | registers.fpsr) >>> 0
      compare('fpscr', BigInt(fpscr), BigInt((after.readUInt32LE(FPSCR) & ~SHORT_VECTORS) >>> 0))
    },
  )
}
