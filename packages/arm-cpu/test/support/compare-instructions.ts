/** Random instructions of every form on random state, here and under qemu-aarch64. */
import { a64Forms, findA64, formatA64, type Form as Row } from '@retrap/arm-decoder'
import { MachineMemory } from '@retrap/memory'
import { AARCH64, runNative, WINDOW, type NativeCase } from '@retrap/tooling/arm-native'
import { ArmCpu, ArmEngine, FlatHost } from '../../src/index.ts'
import { semanticsOf } from '../../src/semantics/index.ts'
import { controlOf, mendResult } from './deviations.ts'
import { floatValue, statusValue } from './float-values.ts'

/** Where the harness has the code of the first case, each with an instruction of its own before, and three behind. */
const CODE = 0x200_0000
const strideOf = ({ code }: NativeCase): number => 4 * (code.length + 4)
/** Where the harness has two pages of data; the window lies around their border. */
const DATA = 0x1000_0000
const WINDOW_START = DATA + 4096 - WINDOW / 2

/** Offsets in a state of the harness. */
const SP = 31 * 8
const NZCV = 32 * 8
const V = 33 * 8
const FPCR = V + 512
const FPSR = FPCR + 8
/** Address of the instruction that has faulted, and what it has accessed; else 0. */
export const FAULT: number = FPSR + 8
/** The exception of BRK, with which each case ends; another one is a fault. */
const ENDED = 0xf200_0000
const EC_DATA_ABORT = 0x24

export type Random = () => number

/**
 * Operations that have tests of their own: control that leaves the case; caches, whose lines have another size under
 * qemu-user; what depends on keys, which are random there; and what is about exception levels.
 */
const APART = new Set([
  'branch-register',
  'cache',
  'zero',
  'pointer-authentication',
  'exception',
  'exception-return',
  'pstate',
  'system-register',
])

/** The rows that a comparison is about. */
export const comparedRows = (): Row[] =>
  a64Forms().filter(
    (row) =>
      semanticsOf(row) !== undefined &&
      (!APART.has(row.operation) || row.mnemonic.startsWith('XPAC')) &&
      !['literal', 'pac'].some((attribute) => row.attributes.has(attribute)),
  )

/** Numbers near which things change. */
const EDGES = [0n, 1n, 2n, 0x7fn, 0x80n, 0xffn, 0x7fffn, 0x8000n, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn]
const WIDE_EDGES = [0x7fff_ffff_ffff_ffffn, 0x8000_0000_0000_0000n, 0xffff_ffff_ffff_ffffn, 0x1_0000_0000n]

function value(random: Random): bigint {
  const wide = (BigInt(random()) << 32n) | BigInt(random())
  switch (random() & 7) {
    case 0:
      return EDGES[random() % EDGES.length]!
    case 1:
      return WIDE_EDGES[random() % WIDE_EDGES.length]!
    case 2:
      return BigInt.asUintN(64, -EDGES[random() % EDGES.length]!)
    case 3:
      return BigInt(random() & 0xff)
    default:
      return wide
  }
}

/** A word of a row, its other bits random; undefined where the encoding is another's or none. */
function wordOf(row: Row, random: Random): number | undefined {
  // Other bits that such a row leaves open should be zero.
  if (row.fields.size === 0) return row.value
  for (let tries = 0; tries < 64; tries++) {
    const word = ((random() & ~row.mask) | row.value) >>> 0
    if (findA64(word)?.index === row.index && suits(row, word)) return word
  }
  return undefined
}

export const field = (row: Row, letter: string, word: number): number => {
  let result = 0
  for (const piece of row.fields.get(letter)?.pieces ?? []) {
    const width = piece >> 8
    result = (result << width) | ((word >>> (piece & 255)) & ((1 << width) - 1))
  }
  return result
}

/** Leaves out what the manual calls unpredictable, and branches that would leave the case. */
function suits(row: Row, word: number): boolean {
  const { attributes, fields } = row
  if (row.operation.startsWith('branch')) return true
  // Hints that sign or authenticate: CRm is 1 or 3.
  if (row.operation === 'hint') return (field(row, 'y', word) & ~2) !== 1
  const [t, u, n, s] = ['t', 'u', 'n', 's'].map((letter) => (fields.has(letter) ? field(row, letter, word) : -1))
  const addressing = fields.has('w') ? field(row, 'w', word) !== 2 : attributes.has('pre') || attributes.has('post')
  if (addressing && n !== 31 && (n === t || n === u)) return false
  if (row.operation.startsWith('load') && t === u && u !== -1) return false
  if (n === 31 && isAligned(row) && row.immediateScale !== 0) return false
  if (attributes.has('extended') && field(row, 'm', word) === n) return false
  return !(row.operation === 'store-exclusive' && s !== 31 && (s === t || s === n || s === u))
}

/** A case: its instruction and the one behind it, and how it reads. */
export interface Case extends NativeCase {
  readonly code: readonly [number, number]
  readonly text: string
}

/** Makes the target of a branch the end of the case: the word after the next one. */
function withinCase(row: Row, word: number): number {
  const offsets = row.fields.get('i')
  if (!row.operation.startsWith('branch') || offsets === undefined) return word
  const [piece] = offsets.pieces
  const mask = (2 ** (piece! >> 8) - 1) * 2 ** (piece! & 255)
  return ((word & ~mask) | (2 << (piece! & 255))) >>> 0
}

/** ADD X0, X0, #1: what a branch leaves out. */
const MARK = 0x9100_0400
const NOP = 0xd503_201f

export function caseOf(row: Row, random: Random): Case | undefined {
  const drawn = wordOf(row, random)
  if (drawn === undefined) return undefined
  const word = withinCase(row, drawn)
  const state = new Uint8Array(AARCH64.stateBytes)
  const view = new DataView(state.buffer)
  for (let i = 0; i < 31; i++) view.setBigUint64(8 * i, value(random), true)
  view.setBigUint64(SP, BigInt(DATA + 4096), true)
  view.setBigUint64(NZCV, BigInt(random() & 0xf000_0000) & 0xf000_0000n, true)
  const isFloat = (random() & 1) === 0 || /^[SU]?F|^[SU]CVTF/.test(row.mnemonic)
  for (let at = V; at < FPCR; at += 8) view.setBigUint64(at, isFloat ? floatValue(random) : value(random), true)
  view.setBigUint64(FPCR, controlOf(row.mnemonic, random), true)
  view.setBigUint64(FPSR, statusValue(random), true)
  const window = new Uint8Array(WINDOW)
  for (let i = 0; i < WINDOW; i++) window[i] = random()
  placeBase(row, word, view, random)
  const text = formatA64(word, { address: 0n }) ?? '?'
  return { thumb: false, code: [word, row.operation.startsWith('branch') ? MARK : NOP], state, window, text }
}

/** Its address must be aligned. */
const isAligned = ({ attributes, operation }: Row): boolean =>
  attributes.has('acquire') || attributes.has('release') || /exclusive|atomic|swap/.test(operation)

/** Has the address of an access lie in the window. */
function placeBase(row: Row, word: number, state: DataView, random: Random): void {
  if (!/\[<XSn>|<address>/.test(row.operands)) return
  const n = field(row, 'n', word)
  const aligned = isAligned(row)
  const middle = DATA + 4096 + (random() % 64) - 32
  let base = BigInt(aligned ? middle & ~15 : middle)
  if (row.attributes.has('extended')) {
    const m = field(row, 'm', word)
    if (m !== 31) state.setBigUint64(8 * m, BigInt(random() & 15), true)
  }
  base -= offsetOf(row, word)
  state.setBigUint64(n === 31 ? SP : 8 * n, n === 31 ? base & ~15n : base, true)
}

function offsetOf(row: Row, word: number): bigint {
  if (row.immediateScale === 0) return 0n
  if (row.attributes.has('post') || (row.fields.has('w') && field(row, 'w', word) === 1)) return 0n
  const width = row.fields.get('i')!.width
  let offset = field(row, 'i', word)
  if (row.immediateSigned && offset >= 1 << (width - 1)) offset -= 1 << width
  return BigInt(offset * row.immediateScale)
}

/** What a case has come to. */
interface Outcome {
  readonly state: Uint8Array
  readonly window: Uint8Array
  readonly end: string
}

/** Executes cases on one processor of ours, one after another. */
export class Ours {
  readonly #host: FlatHost
  readonly #cpu: ArmCpu

  /** How often each case is executed: compiled code from the third time on. */
  readonly #times: number

  constructor(cases: readonly NativeCase[], compiles: boolean) {
    this.#times = compiles ? 3 : 1
    const memory = MachineMemory.create({ bytes: 64 << 20 })
    const host = new Windows(memory, CODE, (cases.length * strideOf(cases[0]!) + 0x1fff) & ~0xfff)
    this.#host = host
    this.#cpu = new ArmCpu(
      new ArmEngine(memory, { poison: true, ...(compiles && { jit: { threshold: 1, fewestInstructions: 1 } }) }),
      host,
    )
  }

  get compiledInstructions(): number {
    return this.#cpu.engine.jit?.counts.executed ?? 0
  }

  run(each: NativeCase, index: number): Outcome {
    // A branch leads to the code, so that it is counted: B .+4. Behind it is BRK #0.
    const words = Uint32Array.of(0x1400_0001, ...each.code, 0xd420_0000)
    const start = CODE + index * strideOf(each)
    this.#host.load(start, new Uint8Array(words.buffer))
    for (let i = 1; i < this.#times; i++) this.#execute(each, start)
    return this.#execute(each, start)
  }

  #execute({ state, window }: NativeCase, start: number): Outcome {
    const cpu = this.#cpu
    this.#host.load(WINDOW_START, window)
    const { registers } = cpu
    const from = new DataView(state.buffer)
    for (let i = 0; i < 31; i++) registers.setX(i, from.getBigUint64(8 * i, true))
    registers.sp = from.getBigUint64(SP, true)
    registers.nzcv = Number(from.getBigUint64(NZCV, true))
    for (let i = 0; i < 32; i++) {
      registers.setV(i, from.getBigUint64(V + 16 * i, true) | (from.getBigUint64(V + 16 * i + 8, true) << 64n))
    }
    registers.fpcr = Number(from.getBigUint64(FPCR, true))
    registers.fpsr = Number(from.getBigUint64(FPSR, true))
    registers.pc = BigInt(start)
    const exit = cpu.run(1000)
    const after = new Uint8Array(state.length)
    const to = new DataView(after.buffer)
    for (let i = 0; i < 31; i++) to.setBigUint64(8 * i, registers.x(i), true)
    to.setBigUint64(SP, registers.sp, true)
    to.setBigUint64(NZCV, BigInt(registers.nzcv), true)
    for (let i = 0; i < 32; i++) {
      to.setBigUint64(V + 16 * i, registers.v(i) & 0xffff_ffff_ffff_ffffn, true)
      to.setBigUint64(V + 16 * i + 8, registers.v(i) >> 64n, true)
    }
    to.setBigUint64(FPCR, BigInt(registers.fpcr), true)
    to.setBigUint64(FPSR, BigInt(registers.fpsr), true)
    if (exit.reason === 'error') throw exit.error
    if (exit.reason === 'exception' && exit.syndrome >>> 0 !== ENDED) {
      to.setBigUint64(FAULT, registers.pc, true)
      if (exit.syndrome >>> 26 === EC_DATA_ABORT) to.setBigUint64(FAULT + 8, exit.address, true)
    }
    const end =
      exit.reason === 'exception' ? `${exit.syndrome.toString(16)} at ${Number(registers.pc) - start}` : exit.reason
    const at = this.#host.ramAddress(WINDOW_START)
    return { state: after, window: cpu.memory.read(at, WINDOW), end }
  }
}

/** RAM at the addresses that cases use: their code, and the harness's data. */
export class Windows extends FlatHost {
  readonly #data: number

  constructor(memory: MachineMemory, code: number, codeBytes: number) {
    super(memory, code, codeBytes)
    this.#data = memory.allocate(0x4000, 4096, 'data')
  }

  override ramAddress(address: number): number {
    return address >= DATA && address < DATA + 0x4000 ? this.#data + address - DATA : super.ramAddress(address)
  }
}

/** The exit of a case that has come to its end. */
const endOf = ({ code }: NativeCase): string => `f2000000 at ${4 * (code.length + 1)}`

/** A case whose results differ. */
export interface Difference {
  readonly text: string
  readonly word: string
  readonly what: string
}

const hex = (number: bigint): string => number.toString(16)

export function differencesOf(
  before: NativeCase,
  ours: { state: Uint8Array; window: Uint8Array; end: string },
  theirs: { state: Uint8Array; window: Uint8Array },
): string[] {
  const found: string[] = []
  const [a, b, old] = [ours.state, theirs.state, before.state].map(
    (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
  )
  if (ours.end !== endOf(before) && b!.getBigUint64(FAULT, true) === 0n) found.push(`ended by ${ours.end}`)
  for (let at = 0; at < ours.state.length; at += 8) {
    const [x, y] = [a!.getBigUint64(at, true), b!.getBigUint64(at, true)]
    if (x !== y) found.push(`${nameOf(at)}: ${hex(x)}, not ${hex(y)} (was ${hex(old!.getBigUint64(at, true))})`)
  }
  for (let at = 0; at < WINDOW; at++) {
    if (ours.window[at] !== theirs.window[at]) {
      found.push(`memory ${hex(BigInt(WINDOW_START + at))}: ${ours.window[at]}, not ${theirs.window[at]}`)
      break
    }
  }
  return found
}

function nameOf(at: number): string {
  if (at < SP) return `x${at / 8}`
  if (at < V) return at === SP ? 'sp' : 'nzcv'
  if (at < FPCR) return `v${Math.floor((at - V) / 16)}.d[${((at - V) / 8) % 2}]`
  return ['fpcr', 'fpsr', 'fault at', 'fault of'][(at - FPCR) / 8]!
}

/** Compares `count` cases of each row. */
export function compareInstructions(
  rows: readonly Row[],
  count: number,
  random: Random,
  compiles = false,
): { cases: number; differences: Difference[]; compiled: number } {
  const cases: Case[] = []
  for (const row of rows) {
    for (let i = 0; i < count; i++) {
      const made = caseOf(row, random)
      if (made !== undefined) cases.push(made)
    }
  }
  const theirs = runNative(AARCH64, cases)
  const ours = new Ours(cases, compiles)
  const differences: Difference[] = []
  for (const [i, each] of cases.entries()) {
    mendResult(each.code[0], theirs[i]!.state, V)
    const what = differencesOf(each, ours.run(each, i), theirs[i]!)
    if (what.length > 0)
      differences.push({ text: each.text, word: (each.code[0] >>> 0).toString(16), what: what.join('; ') })
  }
  return { cases: cases.length, differences, compiled: ours.compiledInstructions }
}
