/** Random A32 instructions of every form on random state, here and under qemu-arm. */
import * as decoder from '@retrap/arm-decoder'
import type { Form as Row } from '@retrap/arm-decoder'
import { MachineMemory } from '@retrap/memory'
import { ARM, runNative, WINDOW, type NativeCase } from '@retrap/tooling/arm-native'
import { a32SemanticsOf } from '../../src/semantics/aarch32/forms.ts'
import { thumbPlanOf } from '../../src/interpreter/aarch32/thumb-plan.ts'
import { ArmCpu, ArmEngine } from '../../src/index.ts'
import { PSTATE_NRW, PSTATE_T } from '../../src/state/pstate.ts'
import { Windows, type Difference, type Random } from './compare-instructions.ts'

/** Where the harness has the code of the first case, each with this many bytes and an instruction of its own before. */
const CODE = 0x2000_0000
const CODE_STRIDE = 24
const DATA = 0x1000_0000
const WINDOW_START = DATA + 4096 - WINDOW / 2
const CPSR = 60
/** N, Z, C, V, Q and GE. */
const STATUS = 0xf80f_0000
const PC = 15

/** BLX leads to Thumb. Bits of SB that the row leaves open should be one. QEMU 7.2 has no SETPAN. */
const APART = (row: Row): boolean =>
  row.mnemonic === 'SB' || row.mnemonic === 'SETPAN' || (row.mnemonic === 'BLX' && row.fields.has('h'))

/** Registers of threads: the harness keeps LR there. */
const isOfHarness = ({ operation }: Row): boolean => operation === 'coprocessor'

/** VFP and Advanced SIMD, which `compare-vfp.ts` is about. */
export const isVectorRow = ({ mnemonic }: Row): boolean => /^(?:V|SHA\d|AES|FLD|FST)/.test(mnemonic)

/** The rows of A32 that a comparison is about. */
export const comparedA32Rows = (): Row[] =>
  decoder
    .a32Forms()
    .filter((row) => a32SemanticsOf(row) !== undefined && !APART(row) && !isOfHarness(row) && !isVectorRow(row))

/** Branches of Thumb are tested apart: their targets are not the harness's. */
const THUMB_APART = new Set(['branch', 'if-then', 'coprocessor', 'table-branch', 'system'])
const isOfThumb = (row: Row): boolean =>
  (!THUMB_APART.has(row.operation) || /^M(?:RS|SR)/.test(row.mnemonic)) &&
  row.mnemonic !== 'SB' &&
  !(row.mnemonic === 'POP' && row.attributes.has('link'))

/** The rows of T32 and T16 that a comparison is about. */
export const comparedThumbRows = (): Row[] =>
  [...decoder.t32Forms(), ...decoder.t16Forms()].filter(
    (row) => thumbPlanOf(row) !== undefined && isOfThumb(row) && !isVectorRow(row),
  )

const isThumb = (row: Row): boolean => decoder.t32Forms()[row.index] === row || decoder.t16Forms()[row.index] === row
const isNarrow = (row: Row): boolean => row.mask < 0x1_0000
const find = (row: Row, word: number): Row | undefined => {
  if (!isThumb(row)) return decoder.findA32(word)
  return isNarrow(row) ? decoder.findThumb(word, 0) : decoder.findThumb(word >>> 16, word & 0xffff)
}
const decode = (row: Row, word: number): boolean => {
  if (!isThumb(row)) return decoder.decodeLoadStoreA32(word, insn)
  return isNarrow(row)
    ? decoder.decodeLoadStoreThumb(word, 0, insn)
    : decoder.decodeLoadStoreThumb(word >>> 16, word & 0xffff, insn)
}
const format = (row: Row, word: number): string =>
  (isThumb(row)
    ? isNarrow(row)
      ? decoder.formatThumb(word, 0)
      : decoder.formatThumb(word >>> 16, word & 0xffff)
    : decoder.formatA32(word)) ?? '?'

const EDGES = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]

function value(random: Random): number {
  switch (random() & 3) {
    case 0:
      return EDGES[random() % EDGES.length]!
    case 1:
      return random() & 0xff
    default:
      return random()
  }
}

const insn = new decoder.LoadStore()
const ACCESSES = new Set(['load', 'store', 'load-exclusive', 'store-exclusive'])
const isAccess = ({ operation }: Row): boolean => ACCESSES.has(operation)

/** Leaves out what the manual calls unpredictable, and what would write the program counter. */
function suits(row: Row, word: number): boolean {
  const field = (letter: string): number => decoder.extract(row.fields.get(letter), word)
  const numbers = ['d', 't', 'n', 'm', 'a'].filter((letter) => row.fields.get(letter)?.width === 4).map(field)
  const suits = isThumb(row) ? thumbPlanOf(row)?.suits(word) : a32SemanticsOf(row)?.suits?.(row, word)
  if (suits === false) return false
  // Of MOVS it is unpredictable in an IT block.
  if (isThumb(row) && row.mnemonic === 'MOVS') return true
  if (isAccess(row)) return suitsAccess(row, word)
  if (row.operation === 'prefetch') return true
  // Bit 9 is the order of bytes, which QEMU's processor can change.
  if (row.mnemonic.startsWith('MSR') && (field('o') & 2) !== 0) return false
  if (row.operation === 'branch') return !row.fields.has('m') || (field('m') !== PC && field('m') !== 14)
  if (row.operation === 'multiply-long' && field('a') === field('d')) return false
  if (row.operation === 'bitfield' && !row.mnemonic.startsWith('BF') && field('i') + field('w') > 31) return false
  const readsPc = !isThumb(row) && ['logical', 'add', 'compare', 'move'].includes(row.operation) && !row.fields.has('a')
  if (row.fields.has('d') && field('d') === PC) return false
  return readsPc || !numbers.includes(PC)
}

function suitsAccess(row: Row, word: number): boolean {
  decode(row, word)
  const { rn, rm, rs, rt, rt2, list, addressing } = insn
  const writesBack = addressing !== 0
  if (rs === PC || (rs >= 0 && [rn, rt, rt2].includes(rs))) return false
  // What comes before it loads R0 or R1.
  if (row.operation === 'store-exclusive' && rn < 2) return false
  const isOrdered =
    row.operation.endsWith('exclusive') || row.attributes.has('acquire') || row.attributes.has('release')
  if (isOrdered && rt === PC) return false
  if (rt2 === PC || (rt2 >= 0 && rt2 === rt && row.operation.startsWith('load'))) return false
  if (row.attributes.has('literal')) return rt !== PC
  if (rn === PC || rm === PC || rm === rn) return false
  // PUSH and POP have their list beside the base, and T16's LDM may load it.
  if (isNarrow(row) && row.attributes.has('multiple')) return list >> PC === 0
  if (row.attributes.has('multiple')) {
    // Of T32 a list of one is unpredictable, and QEMU refuses it (ARM ARM, LDM and STM, encoding T2).
    if (isThumb(row) && (list & (list - 1)) === 0) return false
    if (((list >> PC) & 1) !== 0 && row.operation === 'load') return false
    return !(writesBack && ((list >> rn) & 1) !== 0)
  }
  if (writesBack && (rn === rt || rn === rt2)) return false
  if (row.attributes.has('couple') && (rt === 12 || rm === rt || rm === rt2)) return false
  return rt !== PC || (row.operation === 'store' && row.size === 4)
}

export interface Case extends NativeCase {
  readonly code: readonly [number, number]
  readonly text: string
}

/** ADD R0, R0, #1: what a branch leaves out. */
const MARK = 0xe280_0001
const NOP = 0xe320_f000

/** Of these the bits that a row leaves open should be one, of all others zero. */
const OPEN_ONES = new Set(['parallel', 'select'])

const fieldBits = ({ fields }: Row): number =>
  [...fields.values()]
    .flatMap(({ pieces }) => pieces)
    .reduce((bits, piece) => bits | ((2 ** (piece >> 8) - 1) << (piece & 255)), 0)

/** The same of T32. */
function wideLoadFor(word: number): number {
  const bits = word & 0x000f_0000
  if ((word & 0xfff0_0000) >>> 0 === 0xe840_0000) return (0xe850_0f00 | bits | (word & 0xff)) >>> 0
  const isPair = ((word >>> 4) & 3) === 3
  return (0xe8d0_0f0f | bits | (word & 0xf0)) & (isPair ? 0xffff_01ff : -1)
}

/** Halfwords of a T32 instruction as memory has them. */
const swapped = (word: number): number => ((word << 16) | (word >>> 16)) >>> 0

const NOP16 = 0xbf00
/** Not to be in an IT block. */
const ALONE = new Set(['crc', 'store-exclusive'])
/** Names of those of Advanced SIMD. */
const ALONE_NAMES = /^(?:V(?:SEL|MAXNM|MINNM|RINT[ANPMXZ]|CVT[ANPM]|INS|MOVX|JCVT)|AES|SHA)/

/** The code of a case, half of which is in an IT block of one. */
export function thumbCode(row: Row, word: number, random: Random): Case['code'] {
  if (row.operation === 'store-exclusive') return [swapped(wideLoadFor(word)), swapped(word)]
  const isInside =
    (random() & 1) === 0 && !ALONE.has(row.operation) && row.mnemonic !== 'MOVS' && !ALONE_NAMES.test(row.mnemonic)
  const it = 0xbf08 | ((random() % 14) << 4)
  const nops = NOP16 * 0x1_0001
  if (isNarrow(row)) return [(isInside ? (word << 16) | it : (NOP16 << 16) | word) >>> 0, nops]
  return isInside ? [((word & 0xffff_0000) | it) >>> 0, ((NOP16 << 16) | (word & 0xffff)) >>> 0] : [swapped(word), nops]
}

/** A load-exclusive of R0, and R1, for a store-exclusive that may succeed. */
const loadFor = (word: number): number => (0xe190_0f9f | (word & 0x006f_0000)) >>> 0

/** The word after the next instruction, which is the same here and there. */
function literalAt(row: Row, word: number): number {
  const cleared = word & ~fieldMask(row, 'i')
  return (cleared | fieldMask(row, 'U')) >>> 0
}

const fieldMask = ({ fields }: Row, letter: string): number =>
  (fields.get(letter)?.pieces ?? []).reduce((bits, piece) => bits | ((2 ** (piece >> 8) - 1) << (piece & 255)), 0)

function wordOf(row: Row, random: Random): number | undefined {
  const bits = fieldBits(row)
  const open = OPEN_ONES.has(row.operation) ? ~(bits | row.mask) : 0
  for (let tries = 0; tries < 1000; tries++) {
    let word = ((random() & bits) | row.value | open) >>> 0
    if (row.fields.has('c') && !isThumb(row) && (random() & 1) === 0) word = ((word & 0xfff_ffff) | 0xe000_0000) >>> 0
    if (row.attributes.has('literal')) word = literalAt(row, word)
    // Its target is the end of the case: the word after the next one.
    if (row.operation === 'branch' && row.fields.has('i')) word = (word & 0xff00_0000) >>> 0
    if (find(row, word) === row && suits(row, word)) return word
  }
  return undefined
}

function caseOf(row: Row, random: Random, index: number): Case | undefined {
  const word = wordOf(row, random)
  if (word === undefined) return undefined
  const state = new Uint8Array(ARM.stateBytes)
  const view = new DataView(state.buffer)
  for (let i = 0; i < 15; i++) view.setUint32(4 * i, value(random), true)
  view.setUint32(CPSR, ((random() & STATUS) | (isThumb(row) ? PSTATE_T : 0)) >>> 0, true)
  const window = new Uint8Array(WINDOW)
  for (let i = 0; i < WINDOW; i++) window[i] = random()
  if (isAccess(row)) placeBase(row, word, view, random)
  if (row.operation === 'branch' && row.fields.has('m')) {
    view.setUint32(4 * decoder.extract(row.fields.get('m'), word), CODE + index * CODE_STRIDE + 12, true)
  }
  if (isThumb(row)) {
    return { thumb: true, code: thumbCode(row, word, random), state, window, text: format(row, word) }
  }
  const second = row.operation === 'branch' ? MARK : NOP
  const isStore = row.operation === 'store-exclusive' && (random() & 3) !== 0
  const code: Case['code'] = isStore ? [loadFor(word), word] : [word, second]
  return { thumb: false, code, state, window, text: format(row, word) }
}

/** Has the address of an access lie in the window. */
function placeBase(row: Row, word: number, state: DataView, random: Random): void {
  decode(row, word)
  const { rn, rm, extend, shift, subtract, addressing, start } = insn
  const middle = DATA + 4096 + (random() % 64) - 32
  const isOrdered =
    row.operation.endsWith('exclusive') || row.attributes.has('acquire') || row.attributes.has('release')
  const isAligned = ['multiple', 'couple', 'pair'].some((each) => row.attributes.has(each)) || isOrdered
  let base = isOrdered ? middle & ~7 : isAligned ? middle & ~3 : middle
  if (row.attributes.has('multiple')) base -= start
  else if (addressing !== 2) {
    let { offset } = insn
    if (rm >= 0) {
      const m = state.getUint32(4 * rm, true)
      const carry = (state.getUint32(CPSR, true) >>> 29) & 1
      const shifted = [
        () => (shift > 31 ? 0 : m << shift),
        () => (shift > 31 ? 0 : m >>> shift),
        () => (m | 0) >> Math.min(shift, 31),
        () => (m >>> shift) | (m << (32 - shift)),
        () => (carry << 31) | (m >>> 1),
      ][row.attributes.has('shifted') ? extend : 0]!()
      offset = subtract ? -shifted : shifted
    }
    base -= offset
  }
  if (rn !== PC) state.setUint32(4 * rn, base >>> 0, true)
}

/** SVC #0 of A32, and of Thumb. */
const END = 0xef00_0000
const END16 = 0xdf00
/** The exit of a case that has come to its end. */
const ENDED = '46000000 at 16'
const ENDED16 = '44000000 at 14'

/** Runs cases under QEMU. @throws Error that names the instruction that QEMU has died of */
function runCases(cases: readonly Case[]): ReturnType<typeof runNative> {
  try {
    return runNative(ARM, cases)
  } catch (error) {
    const index = Number(/case (\d+)/.exec(String(error))?.[1] ?? -1)
    throw new Error(`QEMU refuses ${cases[index]?.text ?? '?'} ${(cases[index]?.code[0] ?? 0).toString(16)}`, {
      cause: error,
    })
  }
}

/** Notes values that differ. */
type Compare = (name: string, ours: bigint, theirs: bigint) => void

/**
 * Compares cases of all rows.
 *
 * @param make - makes one of the `count` cases of a row; undefined: it has none
 * @param begin - sets registers but R0 to R14
 * @param end - compares those
 */
export function compareCases(
  rows: readonly Row[],
  count: number,
  make: (row: Row, number: number) => Case | undefined,
  begin: (registers: ArmCpu['registers'], before: DataView) => void,
  end: (registers: ArmCpu['registers'], after: Buffer, compare: Compare) => void,
): { cases: number; differences: Difference[] } {
  const cases: Case[] = []
  for (const row of rows) {
    for (let i = 0; i < count; i++) {
      const made = make(row, cases.length)
      if (made !== undefined) cases.push(made)
    }
  }
  const theirs = runCases(cases)
  const memory = MachineMemory.create({ bytes: 64 << 20 })
  const host = new Windows(memory, CODE, (cases.length * CODE_STRIDE + 0x1fff) & ~0xfff)
  const cpu = new ArmCpu(new ArmEngine(memory, { poison: true }), host)
  const { registers } = cpu
  registers.pstate = PSTATE_NRW
  const differences: Difference[] = []
  for (const [index, { thumb, code, state, window, text }] of cases.entries()) {
    const start = CODE + index * CODE_STRIDE
    // B .+4 leads to the code, so that it is counted.
    const words = thumb ? [(NOP16 << 16) | NOP16, ...code, END16] : [0xeaff_ffff, ...code, END]
    host.load(start, new Uint8Array(Uint32Array.from(words).buffer))
    host.load(WINDOW_START, window)
    const before = new DataView(state.buffer)
    for (let i = 0; i < 15; i++) registers.setX(i, BigInt(before.getUint32(4 * i, true)))
    begin(registers, before)
    registers.pc = BigInt(start)
    const exit = cpu.run(100)
    if (exit.reason === 'error') throw exit.error
    const how =
      exit.reason === 'exception' ? `${exit.syndrome.toString(16)} at ${Number(registers.pc) - start}` : exit.reason
    const found = how === (thumb ? ENDED16 : ENDED) ? [] : [`ended by ${how}`]
    const compare: Compare = (name, our, their) => {
      if (our !== their) found.push(`${name}: ${our.toString(16)}, not ${their.toString(16)}`)
    }
    const after = theirs[index]!
    for (let i = 0; i < 15; i++) compare(`r${i}`, registers.x(i), BigInt(after.state.readUInt32LE(4 * i)))
    end(registers, after.state, compare)
    const ours = memory.read(host.ramAddress(WINDOW_START), WINDOW)
    const at = ours.findIndex((byte, place) => byte !== after.window[place])
    if (at >= 0) found.push(`memory at ${at}: ${ours[at]}, not ${after.window[at]}`)
    if (found.length > 0) differences.push({ text, word: (code[0] >>> 0).toString(16), what: found.join('; ') })
  }
  return { cases: cases.length, differences }
}

/** Compares `count` cases of each row. */
export function compareA32(rows: readonly Row[], count: number, random: Random): ReturnType<typeof compareCases> {
  return compareCases(
    rows,
    count,
    (row, number) => caseOf(row, random, number),
    (registers, before) => {
      registers.nzcv = before.getUint32(CPSR, true)
      registers.pstate = PSTATE_NRW | before.getUint32(CPSR, true)
    },
    (registers, after, compare) => {
      const ours = ((registers.nzcv | registers.pstate) & STATUS) >>> 0
      compare('flags', BigInt(ours), BigInt((after.readUInt32LE(CPSR) & STATUS) >>> 0))
    },
  )
}
