/** The facts about each code, parsed on demand. */
import type { CodeInfo } from './code-info.ts'
import { describe } from './describe-code.ts'
import { readRow, mnemonicsOf } from './forms.ts'
import { invalidForm } from './rows.ts'
import { loadRowCodes } from './tables.ts'

/** The rows that have been read, by code. */
let known: (CodeInfo | undefined)[] = []

/**
 * Returns the facts about a code. The first question about a row of the opcode map reads that row; later ones cost a look into an
 * array.
 *
 * @param code - `Instruction.code`; one that does not exist is taken for 0, the invalid instruction
 */
export function codeInfo(code: number): CodeInfo {
  return known[code] ?? readCode(code)
}

/**
 * Forgets what has been read: there are other tables.
 * @public module text of build/plugins.ts calls it
 */
export function forgetCodes(): void {
  known = []
  all.length = 0
  byMnemonic = undefined
}

function readCode(code: number): CodeInfo {
  const rowCodes = loadRowCodes()
  const count = rowCodes.at(-1) as number
  // Grown piece by piece it would become a hash table.
  if (known.length === 0) known = Array.from<CodeInfo | undefined>({ length: count })
  if (!(code > 0 && code < count)) code = 0
  // The last row that starts at the code or before it.
  let row = 0
  for (let above = rowCodes.length - 1; above - row > 1;) {
    const middle = (row + above) >> 1
    if (rowCodes[middle]! <= code) row = middle
    else above = middle
  }
  // Builds for machines merge rows that no processor model offers into one form.
  const info = describe(readRow(row)[code - rowCodes[row]!] ?? invalidForm, code)
  known[code] = info
  return info
}

/** The entries that `codes` shows, once somebody looks. */
const all: CodeInfo[] = []

function readAll(): readonly CodeInfo[] {
  if (all.length === 0) for (let code = 0; code < (loadRowCodes().at(-1) as number); code++) all.push(codeInfo(code))
  return all
}

/**
 * Every code; the index is `Instruction.code`. Code 0 is the invalid instruction (no modes). Frozen order within a version
 * only. It is made when it is first looked at; where single codes are wanted, `codeInfo` makes these alone.
 */
export const codes: readonly CodeInfo[] = /*#__PURE__*/ new Proxy(all, {
  get: (_, key) => Reflect.get(readAll(), key) as unknown,
  has: (_, key) => Reflect.has(readAll(), key),
  ownKeys: () => Reflect.ownKeys(readAll()),
  getOwnPropertyDescriptor: (_, key) => Reflect.getOwnPropertyDescriptor(readAll(), key),
})

let byMnemonic: ReadonlyMap<string, readonly number[]> | undefined

/**
 * The codes of each mnemonic, in ascending order; the keys are spelled as `CodeInfo.mnemonic`, in capitals. The invalid
 * instruction is not among them. The first call makes the map, in a few milliseconds: it reads names alone.
 */
export function codesByMnemonic(): ReadonlyMap<string, readonly number[]> {
  return (byMnemonic ??= readMnemonics())
}

function readMnemonics(): ReadonlyMap<string, readonly number[]> {
  const names: string[] = []
  const rowCodes = loadRowCodes()
  // Row 0 is the invalid instruction.
  for (let row = 1; row < rowCodes.length - 1; row++) {
    const first = rowCodes[row]!
    const end = rowCodes[row + 1]!
    const mnemonics = mnemonicsOf(row, end - first)
    for (let code = first; code < end; code++) names[code] = mnemonics[(code - first) % mnemonics.length]!
  }
  const codes = [...names.keys()].filter((code) => names[code] !== undefined)
  return Map.groupBy(codes, (code) => names[code]!)
}
