/** Text of A64 loads and stores, in the assembler's syntax of the Arm ARM, lower case. */
import { Addressing, Extend, type LoadStore, NO_REGISTER } from './load-store.ts'
import { extract } from './row.ts'

/** A general-purpose or SIMD&FP register by class letter; `Z`: X with 31 the zero register; `SP`: X with 31 the stack pointer. */
function a64Register(letter: string, number: number): string {
  switch (letter) {
    case 'W':
      return number === 31 ? 'wzr' : `w${number}`
    case 'X':
    case 'Z':
      return number === 31 ? 'xzr' : `x${number}`
    case 'SP':
      return number === 31 ? 'sp' : `x${number}`
    default:
      return `${letter.toLowerCase()}${number}`
  }
}

const ARRANGEMENTS = ['8b', '16b', '4h', '8h', '2s', '4s', '1d', '2d'] as const
const LANES: Readonly<Record<number, string>> = { 1: 'b', 2: 'h', 4: 's', 8: 'd' }

/** `{v0.4s, v1.4s}`, or of one lane `{v0.s, v1.s}[1]`. */
function vectorList(insn: LoadStore, arrangement: string): string {
  const names = Array.from({ length: insn.list }, (_, index) => `v${(insn.rt + index) & 31}.${arrangement}`)
  return `{${names.join(', ')}}${insn.lane >= 0 ? `[${insn.lane}]` : ''}`
}

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

const EXTEND_NAMES = ['lsl', 'lsr', 'asr', 'ror', 'rrx', 'uxtw', 'sxtw', 'sxtx'] as const

/** A64 index register with its extension: `x2, lsl #3`, `w2, sxtw`. */
function extendedRegister(insn: LoadStore): string {
  const register = a64Register(insn.extend === Extend.UXTW || insn.extend === Extend.SXTW ? 'W' : 'X', insn.rm)
  const scaled = extract(insn.form.fields.get('S'), insn.word) !== 0
  if (insn.extend === Extend.LSL && !scaled) return register
  return `${register}, ${EXTEND_NAMES[insn.extend]}${scaled ? ` #${insn.shift}` : ''}`
}

const ORDERS = ['', 'l', 'a', 'al'] as const
const COPY_STAGES = ['p', 'm', 'e'] as const
/** Who reads and writes (T, R, W), and which accesses are non-temporal (N). */
const COPY_OPTIONS = [
  ['', 'wt', 'rt', 't'],
  ['wn', 'wtwn', 'rtwn', 'twn'],
  ['rn', 'wtrn', 'rtrn', 'trn'],
  ['n', 'wtn', 'rtn', 'tn'],
].flat()
const FILL_OPTIONS = ['', 't', 'n', 'tn'] as const

function a64Mnemonic(insn: LoadStore): string {
  const { fields, mnemonic } = insn.form
  return mnemonic
    .toLowerCase()
    .replace('<ar>', ORDERS[(insn.acquire ? 2 : 0) | (insn.release ? 1 : 0)]!)
    .replace('<s>', insn.elementSize === 1 ? 'b' : insn.elementSize === 2 ? 'h' : '')
    .replace('<pme>', COPY_STAGES[extract(fields.get('p'), insn.word)] ?? '')
    .replace('<options>', () => {
      const options = extract(fields.get('o'), insn.word)
      return (insn.form.mnemonic.startsWith('SET') ? FILL_OPTIONS[options] : COPY_OPTIONS[options]) ?? ''
    })
}

/** LDADD and its like with the zero register for the old value are written as STADD. */
function storeAlias(insn: LoadStore, text: string): string {
  const { attributes, operation } = insn.form
  const plain = operation === 'atomic' && insn.rt === 31 && !insn.acquire && !attributes.has('swap')
  return plain && insn.rt2 === NO_REGISTER ? text.replace(/^ld/, 'st').replace(/(\S+ \S+), \S+,/, '$1,') : text
}

/** One placeholder of an A64 row's operands. */
function a64Operand(insn: LoadStore, name: string, address: string): string {
  const { fields } = insn.form
  switch (name) {
    case 'label':
      return `.${insn.offset < 0 ? '' : '+'}${insn.offset}`
    case 'address':
      return address
    case ',#i':
      return insn.offset === 0 ? '' : `, #${insn.offset}`
    case '#i':
      return `#${insn.offset}`
    case 'm,e':
      return extendedRegister(insn)
    case 'm|#':
      return insn.rm === NO_REGISTER ? `#${insn.offset}` : a64Register('X', insn.rm)
    case 'Pt':
      return prefetchOperation(insn.rt)
    case 'op': {
      const option = extract(fields.get('e'), insn.word)
      const low = ((option & 4) << 3) | ((option & 1) << 4) | (extract(fields.get('S'), insn.word) << 3) | insn.rt
      return RANGE_PREFETCHES[low] ?? `#${low}`
    }
    case 'list':
      return vectorList(insn, arrangement(insn))
    case 'lane':
      return String(insn.lane)
    default:
  }
  if (name.startsWith('lanes')) return vectorList(insn, LANES[insn.elementSize]!)
  const match = /^(SP|[A-Z])([tusnm])(1?)$/.exec(name)
  if (match === null) return name
  const [, letter = '', role = '', next = ''] = match
  const number = (roleRegister(insn, role) + (next === '' ? 0 : 1)) & 31
  if (letter === 'R') return a64Register(insn.elementSize === 8 ? 'X' : 'W', number)
  // A base is the stack pointer where it is 31, except as a source or count of a copy.
  return a64Register(letter === 'X' && role === 'n' ? 'SP' : letter, number)
}

function roleRegister(insn: LoadStore, role: string): number {
  switch (role) {
    case 't':
      return insn.rt
    case 'u':
      return insn.rt2
    case 's':
      return insn.rs
    case 'n':
      return insn.rn
    default:
      return insn.rm
  }
}

function a64Address(insn: LoadStore): string {
  const base = a64Register('SP', insn.rn)
  switch (insn.addressing) {
    case Addressing.POST_INDEX:
      return `[${base}], #${insn.offset}`
    case Addressing.PRE_INDEX:
      return `[${base}, #${insn.offset}]!`
    default:
      return insn.offset === 0 ? `[${base}]` : `[${base}, #${insn.offset}]`
  }
}

/** Text of a decoded A64 instruction. */
export function formatLoadStoreA64(insn: LoadStore): string {
  const { operands } = insn.form
  const mnemonic = a64Mnemonic(insn)
  if (operands === '') return mnemonic
  const address = a64Address(insn)
  const text = operands.replaceAll(/<([^>]*)>/g, (_match, name: string) => a64Operand(insn, name, address))
  return storeAlias(insn, `${mnemonic} ${text}`.toLowerCase())
}
