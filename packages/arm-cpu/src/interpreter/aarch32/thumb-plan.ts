import { a32Forms, decodeLoadStoreThumb, LoadStore, type Form as Row } from '@retrap/arm-decoder'
import { fieldOf, signedField } from '../../state/form.ts'
import { R_A, R_D, R_M, R_N } from '../../state/record.ts'
import { S_LITERAL, S_R15, S_X } from '../../state/state-layout.ts'
import { SHIFTED } from '../../semantics/aarch32/data-processing.ts'
import { a32SemanticsOf } from '../../semantics/aarch32/forms.ts'
import { listOf } from '../../semantics/aarch32/memory.ts'
import type { A32Semantics } from '../../semantics/aarch32/semantics.ts'
import { thumbSemanticsOf } from '../../semantics/aarch32/thumb.ts'

/** How the forms of A32 execute the instructions of Thumb: which row's they are, and what goes into the record. */

/** How to execute the instructions of a row. */
export interface ThumbPlan {
  /** The row whose forms do it: of A32, unless only Thumb has the instruction. */
  readonly row: Row
  readonly semantics: A32Semantics
  /** State offsets of registers, by the fields of a record. */
  readonly registers: (word: number, put: (field: number, at: number) => void) => void
  /** The value of a selector. */
  readonly selector: (letter: string, word: number) => number
  readonly kind: (word: number) => number
  readonly immediate: (word: number) => bigint
  readonly small: (word: number) => number
  /** Whether generated code executes the word. */
  readonly suits: (word: number) => boolean
  /** Returns its own condition, if encoded. */
  readonly condition: (word: number) => number
  /** Whether the immediate is relative to a multiple of 4, where A32 code lies. */
  readonly isAligned: boolean
}

const SP = 13
const PC = 15
const ALWAYS = 14

const register = (number: number): number => (number === PC ? S_R15 : S_X + 8 * number)

/** The mnemonic without what says that it is conditional, may set flags, or has 32 bits. */
const keyOf = ({ mnemonic }: Row): string => mnemonic.replace(/(?:<s>|<c>|\.W)/g, '')

/** Whether the name has an S where flags are set. */
const maySetFlags = ({ mnemonic }: Row): boolean => mnemonic.includes('<s>')

let rows: ReadonlyMap<string, Row> | undefined

/** The row of A32 with a name and operands. */
function a32Row(name: string, operands: string): Row | undefined {
  if (rows === undefined) {
    const made = new Map<string, Row>()
    for (const row of a32Forms()) {
      const key = `${keyOf(row)} ${row.operands}`
      if (!made.has(key)) made.set(key, row)
    }
    rows = made
  }
  return rows.get(`${name} ${operands}`)
}

type Numbers = Readonly<Record<string, (word: number) => number>>

/** Differences of a plan from that of an A32 row with the same letters. */
interface Details {
  /** Numbers of registers, by the letters of A32's row. */
  readonly numbers?: Numbers
  readonly immediate?: (word: number) => bigint
  readonly small?: number
  readonly kind?: number
  readonly setsFlags?: boolean
  readonly condition?: (word: number) => number
  readonly isAligned?: boolean
}

const FIELDS: Readonly<Record<string, number>> = { d: R_D, t: R_D, n: R_N, m: R_M, a: R_A, u: R_A }
/** Stands for the base of literals. */
const LITERAL = 16

/** Returns the plan of a row whose letters mean the same as in A32. */
function planOf(own: Row, row: Row | undefined, details: Details = {}): ThumbPlan | undefined {
  const semantics = row === undefined ? undefined : (thumbSemanticsOf(row) ?? a32SemanticsOf(row))
  if (row === undefined || semantics === undefined) return undefined
  const { numbers = {}, immediate, small, kind, setsFlags, condition, isAligned = false } = details
  const letters = Object.keys(FIELDS).filter((letter) => letter in numbers || (own.fields.get(letter)?.width ?? 0) > 2)
  const used = letters.map((letter) => {
    const number = numbers[letter] ?? ((word: number) => fieldOf(own, letter, word))
    return [FIELDS[letter]!, number] as const
  })
  return {
    row,
    semantics,
    registers(word, put) {
      for (const [field, number] of used) {
        const found = number(word)
        put(field, found === LITERAL ? S_LITERAL : register(found))
      }
    },
    selector: (letter, word) =>
      letter === 's' && setsFlags !== undefined ? Number(setsFlags) : fieldOf(own, letter, word),
    kind: (word) => kind ?? semantics.kindOf?.(own, word) ?? 0,
    immediate: immediate ?? ((word) => semantics.immediate?.(own, word) ?? 0n),
    small: (word) => small ?? semantics.small?.(own, word) ?? 0,
    suits: (word) => semantics.suits?.(own, word) ?? true,
    condition: condition ?? (() => ALWAYS),
    isAligned,
  }
}

// ---------------------------------------------------------------- loads and stores

const access: LoadStore = /*#__PURE__*/ new LoadStore()

function decoded(word: number): LoadStore {
  if (word >= 0x1_0000) decodeLoadStoreThumb(word >>> 16, word & 0xffff, access)
  else decodeLoadStoreThumb(word, 0, access)
  return access
}

/** Returns the A32 row with the same effect, selected by register, immediate or address form. */
function rowOfAccess(own: Row): Row | undefined {
  const { attributes, operation, operands, mnemonic } = own
  if (operation === 'prefetch') return a32Row('PLD', '<address>')
  if (operation.endsWith('exclusive')) return a32Forms().find((row) => row.mnemonic === mnemonic)
  if (attributes.has('acquire') || attributes.has('release')) return a32Row(mnemonic, operands)
  if (attributes.has('multiple'))
    return a32Row(operation === 'load' ? 'LDM<mode>' : 'STM<mode>', '<Rn><!>, <registers>')
  const isIndexed = own.fields.has('m')
  const name = attributes.has('unprivileged') ? mnemonic.slice(0, -1) : mnemonic
  return a32Forms().find((row) => row.mnemonic === name && row.fields.has('P') && row.fields.has('m') === isIndexed)
}

function planOfAccess(own: Row): ThumbPlan | undefined {
  const plan = planOf(own, rowOfAccess(own))
  if (plan === undefined) return undefined
  const isMultiple = own.attributes.has('multiple')
  return {
    ...plan,
    registers(word, put) {
      const { rt, rt2, rn, rm, rs } = decoded(word)
      if (rt >= 0) put(R_D, register(rt))
      if (rt2 >= 0) put(R_A, register(rt2))
      if (rn >= 0) put(R_N, rn === PC ? S_LITERAL : register(rn))
      if (rm >= 0) put(R_M, register(rm))
      if (rs >= 0) put(R_M, register(rs))
    },
    // Offsets are signed.
    selector(letter, word) {
      const { addressing } = decoded(word)
      if (letter === 'P') return addressing === 2 ? 0 : 1
      return letter === 'W' ? Number(addressing === 1) : 1
    },
    kind: (word) => (isMultiple ? decoded(word).elements : 0),
    immediate(word) {
      const insn = decoded(word)
      if (isMultiple) return listOf(insn)
      return BigInt(insn.rm >= 0 ? insn.shift : insn.offset)
    },
  }
}

// ---------------------------------------------------------------- branches

/** Assembles the offset of a T32 branch: a sign, two bits that are inverted unless they equal it, and the rest. */
function wideOffset(own: Row, word: number): number {
  const field = (letter: string): number => fieldOf(own, letter, word)
  const sign = field('x')
  const isConditional = own.fields.has('c')
  // BLX has no lowest bit.
  const low = (field('h') << 11) | (field('i') << (11 - own.fields.get('i')!.width))
  if (isConditional) return 2 * (((field('k') << 18) | (field('j') << 17) | low) - sign * 2 ** 19)
  const first = field('j') ^ sign ^ 1
  const second = field('k') ^ sign ^ 1
  return 2 * (((first << 22) | (second << 21) | low) - sign * 2 ** 23)
}

function planOfBranch(own: Row): ThumbPlan | undefined {
  if (thumbSemanticsOf(own) !== undefined) return planOf(own, own)
  if (own.fields.has('m')) return planOf(own, a32Row(own.name, own.operands))
  const isNarrow = own.mask < 0x1_0000
  const isAligned = own.name === 'BLX'
  return planOf(own, a32Row(own.name, '<label>'), {
    // Relative to the program counter, which is 4 further on.
    immediate: (word) => BigInt((isNarrow ? 2 * signedField(own, 'i', word) : wideOffset(own, word)) + 4),
    ...(own.fields.has('c') ? { condition: (word: number) => fieldOf(own, 'c', word) } : {}),
    isAligned,
  })
}

// ---------------------------------------------------------------- data processing

const SHIFTS = ['LSL', 'LSR', 'ASR', 'ROR']
const fixed = (number: number) => (): number => number

/** ADD, SUB and their like with an immediate of this many bytes. */
const constant = (
  own: Row,
  name: string,
  scale: number,
  numbers: Numbers = {},
  operands = '<Rd>, <Rn>, <constant>',
): ThumbPlan | undefined =>
  planOf(own, a32Row(name, operands), {
    numbers,
    immediate: (word) => BigInt(scale * fieldOf(own, 'i', word)),
    setsFlags: maySetFlags(own),
  })

/** A shift by a register: of the source, or of the destination if there is no source. */
const shiftByRegister = (own: Row, source: string, amount: string): ThumbPlan | undefined =>
  planOf(own, a32Row('<kind>', '<Rd>, <Rm>, <Ra>'), {
    numbers: { m: (word) => fieldOf(own, source, word), a: (word) => fieldOf(own, amount, word) },
    small: SHIFTS.indexOf(own.name),
    ...(own.fields.has('s') ? {} : { setsFlags: true }),
  })

/** Instructions of T32 that A32 writes in other ways. */
function planOfWide(own: Row): ThumbPlan | undefined {
  const name = own.name
  if (name === 'ORN') return planOf(own, own)
  if (own.operation === 'address') {
    const isMinus = name === 'SUBW' || own.operands.includes('<minus>')
    return constant(own, isMinus ? 'SUB' : 'ADD', 1, { n: fixed(LITERAL) })
  }
  if (name === 'ADDW' || name === 'SUBW') return constant(own, name.slice(0, 3), 1)
  if (own.operation === 'shift') return shiftByRegister(own, 'n', 'm')
  return planOf(own, a32Row(keyOf(own), own.operands))
}

/** Plans of T16 instructions: most set flags outside of IT blocks; most have two operands. */
function planOfNarrow(own: Row): ThumbPlan | undefined {
  const name = own.name
  const setsFlags = maySetFlags(own) || name === 'MOVS'
  const d = (word: number): number => fieldOf(own, 'd', word)
  const like = (operands: string, numbers: Numbers = {}, immediate = 0n): ThumbPlan | undefined =>
    planOf(own, a32Row(name === 'MOVS' ? 'MOV' : name, operands), { numbers, immediate: () => immediate, setsFlags })
  switch (own.operands) {
    case '<Rd>, <Rm>, <#i>':
    case '<Rd>, <Rm>, <amount>':
      return planOf(own, a32Row('<kind>', '<Rd>, <Rm>, <amount>'), {
        kind: SHIFTED,
        immediate(word) {
          const kind = SHIFTS.indexOf(name)
          const amount = fieldOf(own, 'i', word)
          return BigInt(kind !== 0 && amount === 0 ? 32 : amount) | (BigInt(kind) << 32n)
        },
        setsFlags,
      })
    case '<Rd>, <Rn>, <Rm>':
      return like('<Rd>, <Rn>, <Rm><shift>')
    case '<Rd>, <Rn>, <#i>':
      return constant(own, name, 1)
    case '<Rd>, <#i>':
      return name === 'MOV' ? constant(own, name, 1, {}, '<Rd>, <constant>') : constant(own, name, 1, { n: d })
    case '<Rn>, <#i>':
      return constant(own, name, 1, {}, '<Rn>, <constant>')
    case '<Rn>, <Rm>':
      return like('<Rn>, <Rm><shift>')
    case '<Rd>, <Rn>, #0':
      return like('<Rd>, <Rn>, <constant>')
    case '<Rd>, <Rn>, <Rd>':
      return like('<Rd>, <Rn>, <Rm>', { m: d })
    case '<Rd>, sp, <Rd>':
      return like('<Rd>, <Rn>, <Rm><shift>', { n: fixed(SP), m: d })
    case '<Rd>, <#i*4>':
      return constant(own, 'ADD', 4, { n: fixed(LITERAL) })
    case '<Rd>, sp, <#i*4>':
      return constant(own, name, 4, { n: fixed(SP) })
    case 'sp, <#i*4>':
      return constant(own, name, 4, { d: fixed(SP), n: fixed(SP) })
    case '<Rd>, <Rm>':
      if (SHIFTS.includes(name)) return shiftByRegister(own, 'd', 'm')
      if (own.operation === 'extend') return like('<Rd>, <Rm><rotated>')
      if (own.operation === 'reverse') return like('<Rd>, <Rm>')
      if (name === 'MOVS' || name === 'MOV') return like('<Rd>, <Rm>')
      return name === 'MVN' ? like('<Rd>, <Rm><shift>') : like('<Rd>, <Rn>, <Rm><shift>', { n: d })
    default:
      return planOf(own, a32Row(name, own.operands))
  }
}

const HINTS = new Set(['NOP', 'YIELD', 'HINT'])

/** The plan of a row of Thumb; undefined where no generated code executes it. */
export function thumbPlanOf(own: Row): ThumbPlan | undefined {
  const { operation } = own
  if (operation === 'if-then' || operation === 'table-branch') return planOf(own, own)
  if (operation === 'load' || operation === 'store' || operation === 'prefetch' || operation.endsWith('exclusive')) {
    return planOfAccess(own)
  }
  if (operation === 'branch') return planOfBranch(own)
  const isNarrow = own.mask < 0x1_0000
  // WFI and WFE are executed by TypeScript: no plan has them.
  if (operation === 'hint' && isNarrow) return HINTS.has(own.name) ? planOf(own, a32Row('PLD', '<address>')) : undefined
  return isNarrow ? planOfNarrow(own) : planOfWide(own)
}
