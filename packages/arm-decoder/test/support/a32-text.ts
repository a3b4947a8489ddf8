/** Our text of any A32 or Thumb instruction against LLVM's. */
import { execFileSync } from 'node:child_process'
import { advanceIfThen, findA32, findThumb, formatA32, formatThumb, isWideThumb } from '../../src/index.ts'
import type { Text } from './binaries.ts'
import { differences } from './differences.ts'
import { disassemble, LLVM_OBJDUMP, LLVM_OPTIONS, normal, type SetName } from './disassembly.ts'

/** Where LLVM and we differ, by the encoding, each with its reason. A closed list. */
export interface A32Difference {
  readonly reason: string
  readonly sets: readonly SetName[]
  readonly mask: number
  readonly value: number
  /** LLVM's text, where the encoding alone would say too much. */
  readonly theirs: RegExp
  /** What more has to hold of an encoding. */
  readonly holds?: (word: number) => boolean
}

const bits = (word: number, high: number, low: number): number => (word >>> low) & (2 ** (high - low + 1) - 1)

/** VTBL and VTBX: the last register of the table. */
const lastOfTable = (word: number): number => ((bits(word, 7, 7) << 4) | bits(word, 19, 16)) + bits(word, 9, 8)

/** Bits 31 to 24 of Advanced SIMD, but for U. */
const NEON = { a32: 0xf200_0000, t32: 0xef00_0000 } as const
const NEON_MASK = { a32: 0xfe00_0000, t32: 0xef00_0000 } as const

const ofNeon = (
  reason: string,
  mask: number,
  value: number,
  theirs: RegExp,
  holds?: (word: number) => boolean,
): readonly A32Difference[] =>
  (['a32', 't32'] as const).map((set) => ({
    reason: `${reason} (${set})`,
    sets: [set],
    mask: (NEON_MASK[set] | mask) >>> 0,
    value: (NEON[set] | value) >>> 0,
    theirs,
    ...(holds === undefined ? {} : { holds }),
  }))

export const a32Differences: readonly A32Difference[] = [
  { reason: 'LLVM calls one UDF TRAP', sets: ['a32'], mask: 0xffff_ffff, value: 0xe7ff_defe, theirs: /^trap$/ },
  {
    reason: 'BFC and BFI from a bit to a lower one are unpredictable: refused',
    sets: ['a32'],
    mask: 0x0fe0_0070,
    value: 0x07c0_0010,
    theirs: /^bf[ci]/,
    holds: (word) => bits(word, 20, 16) < bits(word, 11, 7),
  },
  {
    reason: 'BFC and BFI from a bit to a lower one are unpredictable: refused',
    sets: ['t32'],
    mask: 0xfff0_8020,
    value: 0xf360_0000,
    theirs: /^bf[ci]/,
    holds: (word) => bits(word, 4, 0) < ((bits(word, 14, 12) << 2) | bits(word, 7, 6)),
  },
  {
    reason: 'REV, REV16, RBIT and REVSH whose two copies of the source differ are unpredictable: refused',
    sets: ['t32'],
    mask: 0xfff0_f0c0,
    value: 0xfa90_f080,
    theirs: /^r(?:ev|bit)/,
    holds: (word) => bits(word, 19, 16) !== bits(word, 3, 0),
  },
  {
    reason: 'CLZ whose two copies of the source differ is unpredictable: refused',
    sets: ['t32'],
    mask: 0xfff0_f0f0,
    value: 0xfab0_f080,
    theirs: /^clz/,
    holds: (word) => bits(word, 19, 16) !== bits(word, 3, 0),
  },
  {
    reason: 'CPS with bits set that should be zero, with masks or a mode that it does not change: refused',
    sets: ['a32'],
    mask: 0xfff1_0020,
    value: 0xf100_0000,
    theirs: /^cps/,
    holds(word) {
      const [imod, m, flags, mode] = [bits(word, 19, 18), bits(word, 17, 17), bits(word, 8, 6), bits(word, 4, 0)]
      return bits(word, 15, 9) !== 0 || (imod < 2 ? m === 0 || flags !== 0 : m === 0 && mode !== 0)
    },
  },
  {
    reason: 'MOV with bits 19:16 set is unpredictable: refused, as LLVM does for most registers',
    sets: ['a32'],
    mask: 0x0fe0_0ff0,
    value: 0x01a0_0000,
    theirs: /^mov/,
    holds: (word) => bits(word, 19, 16) !== 0,
  },
  {
    reason: 'MRS with bits 19:16 clear is unpredictable: refused, as LLVM does for most values',
    sets: ['a32'],
    mask: 0x0fb0_00f0,
    value: 0x0100_0000,
    theirs: /^mrs/,
    holds: (word) => bits(word, 19, 16) !== 15,
  },
  {
    reason: 'pointer authentication and BTI are of the M profile: here they are hints',
    sets: ['t32'],
    mask: 0xffff_ff00,
    value: 0xf3af_8000,
    theirs: /^(?:pacbti|pac|aut|bti)\b/,
  },
  {
    reason: 'of the debug registers LDC and STC reach only those of the data transfer',
    sets: ['a32', 't32'],
    mask: 0x0e00_0f00,
    value: 0x0c00_0e00,
    theirs: /^(?:ldc|stc)/,
    holds: (word) => bits(word, 15, 12) !== 5 || bits(word, 22, 22) !== 0,
  },
  { reason: 'UDF has no other names', sets: ['t16'], mask: 0xff00, value: 0xde00, theirs: /^(?:trap|__brkdiv0)$/ },
  ...ofNeon(
    'VEXT is of bytes in the manual; LLVM names larger elements where the immediate allows it',
    0x01b0_0010,
    0x00b0_0000,
    /^vext\w*\.(?:16|32|64) /,
    (word) => (bits(word, 11, 8) & 1) === 0,
  ),
  ...ofNeon(
    'tables past D31 are unpredictable: refused',
    0x01b0_0c10,
    0x01b0_0800,
    /^vtb[lx]/,
    (word) => lastOfTable(word) > 31,
  ),
  ...ofNeon(
    'fixed point of half precision has at most 16 bits behind the point',
    0x00b0_0e90,
    0x00a0_0c10,
    /^vcvt\w*\.(?:[su]16\.f16|f16\.[su]16) /,
  ),
]

/** The rows of `a32Differences` that have explained a difference so far. */
export const usedA32Differences = new Set<A32Difference>()

/** One blank, no comment; the opposite of always, of unpredictable IT blocks, is no condition. */
export const spellA32 = (text: string): string =>
  text
    .replaceAll(/\s+/g, ' ')
    .replace('<unknown>', '')
    .replace('<und>', '')
    .replace(/ (?:@|<).*$/, '')
    .trim()

/** Our text of an instruction; '' where there is none. */
export function textA32(set: SetName, word: number, address: number, ifThen = 0): string {
  const place = { address: BigInt(address), ifThen }
  if (set === 'a32') return formatA32(word, place) ?? ''
  const first = word > 0xffff ? word >>> 16 : word
  return (isWideThumb(first) === word > 0xffff ? formatThumb(first, word & 0xffff, place) : '') ?? ''
}

/** What is wrong with our text, in a sentence; `undefined` where nothing is. */
export function a32Difference(set: SetName, word: number, our: string, theirs: string): string | undefined {
  if (our === theirs) return undefined
  const kind = set === 't32' && word <= 0xffff ? 't16' : set
  const known = a32Differences.find(
    (each) =>
      each.sets.includes(kind) &&
      ((word & each.mask) ^ each.value) === 0 &&
      each.theirs.test(theirs) &&
      each.holds?.(word) !== false,
  )
  if (known !== undefined) {
    usedA32Differences.add(known)
    return undefined
  }
  // Loads and stores have a list of their own, and `decode.test.ts` says whether it is short enough.
  const form = set === 'a32' ? findA32(word) : findThumb(kind === 't16' ? word : word >>> 16, word & 0xffff)
  const isAccess = /^(?:v?(?:ld|st|push|pop)|swp|rfe|srs|pl[di]|f(?:ld|st))/.test(our === '' ? theirs : our)
  if (isAccess && differences.some((each) => each.sets.includes(kind) && each.holds(normal(our), normal(theirs), word)))
    return undefined
  return `${word.toString(16)}: ours '${our}', LLVM's '${theirs}' (form ${form?.index} ${form?.mnemonic})`
}

/** What a comparison of a program's code found. */
export interface ComparedText {
  instructions: number
  /** Instructions behind data, which LLVM takes to be in an IT block that was in the data, or in none. */
  misplaced: number
  readonly wrong: string[]
}

/** ITSTATE of the last instruction of a block, of each condition. */
const LAST_IN_BLOCK = Array.from({ length: 15 }, (_, condition) => (condition << 4) | 8)

/**
 * Compares Thumb code of a program with LLVM's listing of it.
 *
 * @param start, end - offsets of what is compared
 */
export function compareThumbText({ path, address: base, bytes }: Text, start: number, end: number): ComparedText {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const listing = execFileSync(
    LLVM_OBJDUMP,
    [
      ...['-d', '-j', '.text', '--no-show-raw-insn', '--no-print-imm-hex', ...LLVM_OPTIONS.t32],
      ...[`--start-address=${base + start}`, `--stop-address=${base + end}`, path],
    ],
    { encoding: 'utf8', maxBuffer: 1 << 30, stdio: ['ignore', 'pipe', 'ignore'] },
  )
  const found: ComparedText = { instructions: 0, misplaced: 0, wrong: [] }
  let ifThen = 0
  for (const [, digits = '', text = ''] of listing.matchAll(/^ *([0-9a-f]+):[ \t]+(.*)$/gm)) {
    const address = parseInt(digits, 16)
    const at = address - base
    const first = view.getUint16(at, true)
    const isWide = isWideThumb(first)
    // An instruction that the end of the part cuts is left out.
    if (isWide && at + 4 > end) continue
    const word = isWide ? first * 0x1_0000 + view.getUint16(at + 2, true) : first
    const our = textA32('t32', word, address, ifThen)
    const their = spellA32(text)
    const difference = a32Difference('t32', word, our, their)
    if (
      difference !== undefined &&
      [0, ...LAST_IN_BLOCK].some((state) => textA32('t32', word, address, state) === their)
    )
      found.misplaced++
    else if (difference !== undefined) found.wrong.push(`${digits} ${difference}`)
    ifThen = advanceIfThen(ifThen, first)
    found.instructions++
  }
  return found
}

/** What is wrong with our texts of these words, of which Thumb's may be after one of IT. */
export function wrongA32(set: SetName, list: readonly number[]): string[] {
  const theirs = disassemble(set, list, 'llvm', spellA32)
  let address = 0
  let ifThen = 0
  const wrong: string[] = []
  for (const [index, word] of list.entries()) {
    const our = textA32(set, word, address, ifThen)
    const difference = a32Difference(set, word, our, theirs[index]!)
    if (difference !== undefined) wrong.push(difference)
    if (set !== 'a32') ifThen = advanceIfThen(ifThen, word > 0xffff ? word >>> 16 : word)
    address += set !== 'a32' && word <= 0xffff ? 2 : 4
  }
  return wrong
}
