/** Sequences of 5 to 20 random instructions, one after another on one processor, here and under qemu-aarch64. */
import { formatA64, type Form as Row } from '@retrap/arm-decoder'
import { AARCH64, runNative, type NativeCase } from '@retrap/tooling/arm-native'
import * as compareInstructions from './compare-instructions.ts'
import { controlOf } from './deviations.ts'
import { statusValue } from './float-values.ts'

const NOP = 0xd503_201f
/** More than 20 instructions with those before and behind them have. */
const WORDS = 176
/** FPCR or FPSR := X9. */
const [MSR_FPCR, MSR_FPSR] = [0xd51b_4409, 0xd51b_4429]

/**
 * The rows of sequences. A store-exclusive may fail after anything; an access by the stack pointer cannot be given an address; and
 * QEMU does otherwise than the manual says in the last three (`deviations.ts`).
 */
const rows: readonly Row[] = compareInstructions
  .comparedRows()
  .filter(
    ({ operation, mnemonic, operands }) =>
      !operation.includes('exclusive') &&
      mnemonic !== 'FJCVTZS' &&
      !(mnemonic === 'FCVTZS' && operands.startsWith('<Hd>, <Hn>, <#')),
  )

/** MOVZ and MOVK: a register is set to a number of 64 bits, of which most are zero. */
function* load(register: number, value: bigint): Iterable<number> {
  yield (0xd280_0000 | (Number(value & 0xffffn) << 5) | register) >>> 0
  for (let half = 1; half < 4; half++) {
    const bits = Number((value >> BigInt(16 * half)) & 0xffffn)
    if (bits !== 0) yield (0xf280_0000 | (half << 21) | (bits << 5) | register) >>> 0
  }
}

/** Addresses where nothing is. */
const NOWHERE = [0n, 0x1001n, 0xfff_fff0n, 0x1000_5008n, 0x1234_5678_9abcn]
const isSingle = ({ operation, registers, fields }: Row): boolean =>
  /^(load|store)$/.test(operation) && registers === 0 && !fields.has('u')

/** An instruction with operands that suit it; undefined where none can be made. */
function item(row: Row, random: compareInstructions.Random): readonly number[] | undefined {
  const made = compareInstructions.caseOf(row, random)
  if (made === undefined) return undefined
  const [word, next] = made.code
  const code: number[] = []
  if (/\[<XSn>|<address>/.test(row.operands)) {
    const n = compareInstructions.field(row, 'n', word)
    if (n === 31) return undefined
    const view = new DataView(made.state.buffer)
    const m = row.attributes.has('extended') ? compareInstructions.field(row, 'm', word) : 31
    if (isSingle(row) && random() % 16 === 0)
      view.setBigUint64(8 * n, BigInt.asUintN(64, NOWHERE[random() % NOWHERE.length]!), true)
    for (const register of m === 31 ? [n] : [m, n]) code.push(...load(register, view.getBigUint64(8 * register, true)))
  }
  code.push(word)
  // A branch leads beyond this one.
  if (row.operation.startsWith('branch')) code.push(next)
  return code
}

function control(random: compareInstructions.Random): readonly number[] {
  const isStatus = (random() & 3) === 0
  const value = isStatus ? statusValue(random) : controlOf('', random)
  return [...load(9, value), isStatus ? MSR_FPSR : MSR_FPCR]
}

function sequence(random: compareInstructions.Random): NativeCase {
  const code: number[] = []
  for (let left = 5 + (random() % 16); left > 0; left--) {
    let some: readonly number[] | undefined
    while (some === undefined) some = random() % 8 === 0 ? control(random) : item(rows[random() % rows.length]!, random)
    code.push(...some)
  }
  while (code.length < WORDS) code.push(NOP)
  // Registers, and memory.
  for (;;) {
    const made = compareInstructions.caseOf(rows[random() % rows.length]!, random)
    if (made !== undefined) return { thumb: false, code, state: made.state, window: made.window }
  }
}

function text({ code }: NativeCase): string {
  return code
    .filter((word) => word !== NOP)
    .map((word) => formatA64(word, { address: 0n }) ?? '?')
    .join('; ')
}

/** Compares `count` sequences. @param compiles - whether they are executed three times, and compiled */
export function compareSequences(
  count: number,
  random: compareInstructions.Random,
  compiles: boolean,
): { differences: compareInstructions.Difference[]; compiled: number; faults: number } {
  const cases = Array.from({ length: count }, () => sequence(random))
  const theirs = runNative(AARCH64, cases, true)
  const ours = new compareInstructions.Ours(cases, compiles)
  const differences: compareInstructions.Difference[] = []
  for (const [i, each] of cases.entries()) {
    const what = compareInstructions.differencesOf(each, ours.run(each, i), theirs[i]!)
    if (what.length > 0) differences.push({ text: text(each), word: '', what: what.join('; ') })
  }
  const faults = theirs.filter(({ state }) => state.readBigUInt64LE(compareInstructions.FAULT) !== 0n).length
  return { differences, compiled: ours.compiledInstructions, faults }
}
