/** Text of A64 loads and stores, in the assembler's syntax of the Arm ARM, lower case. */
import { ARRANGEMENTS, registerName, vectorList } from './format-operands.ts'
import { Addressing, Extend, type LoadStore, NO_REGISTER } from './load-store.ts'
import { fieldOf, Templates } from './row.ts'

/** Text of the place that a literal's offset leads to. */
export type Label = (offset: number) => string

type Operand = (insn: LoadStore, label: Label) => string

/** The registers of a structure; of one lane `{v0.s, v1.s}[1]`. */
const structureList = (insn: LoadStore, arrangement: string): string =>
  vectorList(insn.rt, insn.list, arrangement) + (insn.lane >= 0 ? `[${insn.lane}]` : '')

const arrangement = (insn: LoadStore): string =>
  ARRANGEMENTS[Math.log2(insn.elementSize) * 2 + (insn.registerSize === 16 ? 1 : 0)]!

const PREFETCH_TYPES = ['pld', 'pli', 'pst'] as const

/** `pldl1keep`; encodings without a name are numbers. */
function prefetchOperation(number: number): string {
  const type = PREFETCH_TYPES[number >> 3]
  const level = (number >> 1) & 3
  if (type === undefined) return `#${number}`
  return `${type}${level === 3 ? 'slc' : `l${level + 1}`}${(number & 1) === 0 ? 'keep' : 'strm'}`
}

/** RPRFM's operations with names, by number. */
const RANGE_PREFETCHES: Readonly<Record<number, string>> = { 0: 'pldkeep', 1: 'pstkeep', 4: 'pldstrm', 5: 'pststrm' }

function rangePrefetch(insn: LoadStore): string {
  const option = fieldOf(insn.form, 'e', insn.word)
  const scaled = fieldOf(insn.form, 'S', insn.word)
  const number = ((option & 4) << 3) | ((option & 1) << 4) | (scaled << 3) | insn.rt
  return RANGE_PREFETCHES[number] ?? `#${number}`
}

const EXTEND_NAMES = ['lsl', 'lsr', 'asr', 'ror', 'rrx', 'uxtw', 'sxtw', 'sxtx'] as const

/** Index register with its extension: `x2, lsl #3`, `w2, sxtw`. */
function extendedRegister(insn: LoadStore): string {
  const register = registerName(insn.extend === Extend.UXTW || insn.extend === Extend.SXTW ? 'w' : 'x', insn.rm)
  const scaled = fieldOf(insn.form, 'S', insn.word) !== 0
  if (insn.extend === Extend.LSL && !scaled) return register
  return `${register}, ${EXTEND_NAMES[insn.extend]}${scaled ? ` #${insn.shift}` : ''}`
}

function address(insn: LoadStore): string {
  const base = registerName('x', insn.rn, true)
  switch (insn.addressing) {
    case Addressing.POST_INDEX:
      return `[${base}], #${insn.offset}`
    case Addressing.PRE_INDEX:
      return `[${base}, #${insn.offset}]!`
    default:
      return insn.offset === 0 ? `[${base}]` : `[${base}, #${insn.offset}]`
  }
}

const ORDERS = ['', 'l', 'a', 'al'] as const
const COPY_STAGES = ['p', 'm', 'e'] as const
/** The access rights that reads and writes use (T, R, W), and which accesses are non-temporal (N). */
const COPY_OPTIONS = [
  ['', 'wt', 'rt', 't'],
  ['wn', 'wtwn', 'rtwn', 'twn'],
  ['rn', 'wtrn', 'rtrn', 'trn'],
  ['n', 'wtn', 'rtn', 'tn'],
].flat()
const FILL_OPTIONS = ['', 't', 'n', 'tn'] as const

const OPERANDS: Readonly<Record<string, Operand>> = {
  // In mnemonics.
  AR: (insn) => ORDERS[(insn.acquire ? 2 : 0) | (insn.release ? 1 : 0)]!,
  S: (insn) => (insn.elementSize === 1 ? 'b' : insn.elementSize === 2 ? 'h' : ''),
  PME: (insn) => COPY_STAGES[fieldOf(insn.form, 'p', insn.word)]!,
  options(insn) {
    const options = fieldOf(insn.form, 'o', insn.word)
    return (insn.form.operation === 'fill' ? FILL_OPTIONS : COPY_OPTIONS)[options]!
  },
  // In operands.
  label: (insn, label) => label(insn.offset),
  address,
  ',#i': (insn) => (insn.offset === 0 ? '' : `, #${insn.offset}`),
  '#i': (insn) => `#${insn.offset}`,
  'm,e': extendedRegister,
  'm|#': (insn) => (insn.rm === NO_REGISTER ? `#${insn.offset}` : registerName('x', insn.rm)),
  Pt: (insn) => prefetchOperation(insn.rt),
  op: rangePrefetch,
  list: (insn) => structureList(insn, arrangement(insn)),
  lane: (insn) => String(insn.lane),
}

const ROLES = { t: 'rt', u: 'rt2', s: 'rs', n: 'rn', m: 'rm' } as const

/**
 * Returns the operand that a placeholder stands for: a name of `OPERANDS`, `lanes.b`, or a register (`row.ts` has the language).
 */
function operand(name: string): Operand {
  const known = OPERANDS[name]
  if (known !== undefined) return known
  if (name.startsWith('lanes.')) return (insn) => structureList(insn, name.slice('lanes.'.length))
  const [, letter = '', stack = '', role = '', next = ''] = /^([A-Z])(S?)([tusnm])(1?)$/.exec(name)!
  const member = ROLES[role as keyof typeof ROLES]
  const kind = letter.toLowerCase()
  if (letter === 'R') return (insn) => registerName(insn.elementSize === 8 ? 'x' : 'w', insn[member])
  return (insn) => registerName(kind, (insn[member] + next.length) & 31, stack !== '')
}

const templates = /*#__PURE__*/ new Templates(operand)

/** LDADD and its like with the zero register for the old value are written as STADD. */
function storeAlias(insn: LoadStore, text: string): string {
  const { attributes, operation } = insn.form
  const plain = operation === 'atomic' && insn.rt === 31 && !insn.acquire && !attributes.has('swap')
  return plain && insn.rt2 === NO_REGISTER ? text.replace(/^ld/, 'st').replace(/(\S+ \S+), \S+,/, '$1,') : text
}

/** Text of a decoded A64 instruction. */
export function formatLoadStoreA64(insn: LoadStore, label: Label): string {
  let text = ''
  for (const part of templates.of(insn.form)) text += typeof part === 'string' ? part : part(insn, label)
  return storeAlias(insn, text)
}
