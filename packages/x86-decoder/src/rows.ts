/**
 * Reads the rows of the opcode tables and expands each into its forms: one form is one row at one effective operand size.
 *
 * A row has the columns opcode, mnemonic, operands, attributes, two or more spaces apart. A row of VEX, or of
 * a legacy instruction that APX has in EVEX, may have a fifth column: the attributes in EVEX, whose other columns are the same.
 * `-`: no attributes.
 *
 * Opcode: `[VEX.][prefix] bytes [+r] [/digit | (modrm)]`. The prefix is `NP` (none of 66, F3, F2), `NFx` (neither F3 nor
 * F2), `66`, `F3`, `F2`; without one, prefixes do not select the row. `+r`: the low three bits name a register; `+cc`: the low four bits are a
 * condition, whose suffix stands for `cc` in the mnemonic (SDM vol. 2D, "Condition Test (tttn) Field"). `/digit`:
 * ModRM.reg.  `(C1)`: the whole ModRM byte. `XOP.8 85`: opcode 85 of XOP map 8.
 * `0F 0F 9E`: opcode 9E after the operands (3DNow!). `EVEX.66 M5 6E`: opcode 6E of EVEX map 5. `REX2.`: only after REX2.
 *
 * Mnemonic: `A/B/C` names the 16-, 32- and 64-bit form (two names: 16/32 for class v or z, 32/64 for class y).
 *
 * Operands: a letter of SDM Appendix A (G E R M Z B S C D P Q N V W U H L X Y I O J A) and a size:
 * b w d q t dq qq oq = 1 2 4 8 10 16 32 64 bytes; v = operand size; z = at most 32 bits; y = 32 or 64; yy = twice y; as = address
 * size; x = vector length, 16 or 32, of EVEX also 64; hx, qx, ex = half, quarter, eighth of it; p = far pointer; a = BOUND's pair; s = descriptor-table register; e, f = x87 environment, state; fx = FXSAVE area.
 * `vxd`, `vyq`: memory by a vector of indices (VSIB) in an XMM or YMM register, elements of 4 or 8 bytes; `vVd`, `vUd`: in a
 * register of the vector length, or half as long.
 * `F`: the default flags of CCMP; `Tq` an absolute target. `kG kE kR kB`: as G E R B, but a mask register; `tG tR tB`: a tile; `bG bE`: a bound register.
 * `Rv/Mw`: register and memory differ in size. `sIb`: sign-extended; `uId`: never; `nI`: the low half of L's byte. Tb: XLATB's table. Registers by name, and `1`.
 *
 * Attributes: `lock` LOCK is legal with a memory destination; `atomic` memory is changed at once without it; `rep`, `repe` string repetition; `i64` invalid in 64-bit mode,
 * `o64` only there; `d64` operand size defaults to 64 there; `f64` is always 64 there; `n64` near branch: f64 on Intel,
 * d64 on AMD; `far` far pointer, AMD ignores REX.W; `=v`, `=y`, `=z` operand-size class where no operand shows it; `a16`, `a32`, `a64` address size; `b0` REX.B
 * clear; `w0`, `w1`, `l0`, `l1` VEX.W, VEX.L; `l2`, `l12` EVEX.L'L is one of these; `reg`, `mem` ModRM.mod; `anymod` mod is ignored and taken for 3; `cpl0`;
 * `no66` 66 is
 * not allowed; `maskmov` memory at DS:rDI; `protected` not in real or virtual-8086 mode; `alias` the assembler uses another row; `else` without
 * the feature a row below decides; `iopl` allowed by CPL ≤ IOPL; `sib` there is a SIB byte; `norip` memory is not RIP-relative; `bounds` #UD with
 * 16-bit addresses (MPX); `rm0` ModRM.rm is 0; `distinct` a gather's
 * registers must differ; and the CPUID feature in capitals (`A/B`: of the 32- and the 64-bit form, or of the 128- and the
 * 256-bit form; `A+B` both; AVX512VL comes by itself where an EVEX row has several lengths).
 *
 * `norex2`: not after REX2. EVEX only: `nd`, `nf`, `nf1`, `scc`, `norsp`: see `table/apx.ts`; `k` takes a mask register, `kz` also
 * zeroing (of a register), `kx` needs one that is not k0; `E4NF` and the like the class of exceptions (SDM vol. 2A, "Exception
 * Classifications of EVEX-Encoded Instructions"; without NF, parts of memory that the mask leaves out are not accessed); `bw`, `bd`,
 * `bq` broadcast of an element of 2, 4, 8 bytes from memory; `e1` to `e8` bytes of the elements that the mask covers, where they are
 * not those of the broadcast; `er` static rounding of registers, `sae` exceptions suppressed; `n1` to `n8` scale of
 * an 8-bit displacement in bytes where it is not the memory operand's size; `vex` VEX has the instruction too, in another row.
 * `as=NAME`: the operation is that of another instruction, of VEX if the row is one of EVEX.
 */
import { MODE_16, MODE_32, MODE_64 } from './kinds.ts'
import { type FormOperand, Immediate, OperandColumn, SIZES, type SizeClass } from './operand-column.ts'

/**
 * The conditions that select a form, as bit sets of allowed values. A bit set with all bits means that the property is ignored.
 */
interface Selector {
  /** bit 0 memory, bit 1 register */
  mod: number
  /** ModRM.reg 0…7 */
  reg: number
  /** ModRM.rm 0…7 */
  rm: number
  /** mandatory prefix: bits for none, 66, F3, F2 */
  pp: number
  /** VEX.W */
  w: number
  /** VEX.L, EVEX.L'L */
  l: number
  /** effective operand size before defaults: bits for 16, 32, 64; for legacy modes, for 64-bit mode, and for that mode on AMD */
  osLegacy: number
  osLong: number
  osAmd: number
  /** effective address size: bits 16, 32, 64 */
  as: number
  /** REX.B */
  b: number
  /** EVEX.SC, the condition of CCMP and CTEST */
  scc: number
  /** EVEX.ND and EVEX.NF */
  nd: number
  nf: number
}

/** One row at one operand size: described by `codes`, and a leaf of the decoder's trees. */
export interface Form extends Opcode {
  mnemonic: string
  operands: readonly FormOperand[]
  /** bits; 0 = none */
  operandSize: number
  sizeClass: '' | 'v' | 'y' | 'z'
  modrm: boolean
  memory: 'any' | 'only' | 'never'
  immediate: Immediate
  modes: number
  attributes: ReadonlySet<string>
  feature: string
  /** mnemonic of the instruction whose operation it is */
  operation: string
  /** EVEX: class of exceptions, bytes of the elements that a mask covers */
  exceptionClass: string
  elementBytes: number
  /** required address size in bits, 0: any */
  addressSize: number
  /** required VEX.W, VEX.L (EVEX.L'L); -1 = ignored */
  w: number
  l: number
  /** EVEX.SC of CCMP and CTEST, or -1 */
  condition: number
  selector: Selector
}

/** The opcode column of a row. */
interface Opcode {
  /** VEX or XOP */
  vex: boolean
  evex: boolean
  /** Exists only after REX2. */
  rex2: boolean
  prefix: string
  map: number
  opcode: number
  opcodeRegister: boolean
  extension: number
  modrmByte: number
}

/** The bytes after 0F, by map from 1 on. */
const ESCAPES = ['', '38 ', '3A ', '0F ']

function parseOpcode(text: string): Opcode {
  const result: Opcode = {
    vex: false,
    evex: false,
    rex2: false,
    prefix: '',
    map: 0,
    opcode: 0,
    opcodeRegister: false,
    extension: -1,
    modrmByte: -1,
  }
  let rest = text
  if (rest.startsWith('VEX.')) {
    result.vex = true
    rest = rest.slice(4)
  }
  if (rest.startsWith('EVEX.')) {
    result.evex = true
    rest = rest.slice(5)
  }
  if (rest.startsWith('REX2.')) {
    result.rex2 = true
    rest = rest.slice(5)
  }
  const xop = rest.startsWith('XOP.')
  if (xop) rest = rest.slice(4)
  const tokens = rest.split(' ')
  if (xop) {
    result.vex = true
    result.prefix = 'NP'
    result.map = parseInt(tokens.shift() as string, 16)
  }
  if (tokens.length > 1 && /^(NP|NFx|66|F3|F2)$/.test(tokens[0]!)) result.prefix = tokens.shift()!
  if (/^M[4-7]$/.test(tokens[0]!)) result.map = Number(tokens.shift()![1])
  const escape = /^0F (38 |3A |0F )?(?=[0-9A-F]{2})/.exec(tokens.join(' '))
  if (escape !== null) {
    result.map = ESCAPES.indexOf(escape[1] ?? '') + 1
    tokens.splice(0, result.map === 1 ? 1 : 2)
  }
  let byte = tokens.shift() as string
  if (byte.endsWith('+r')) {
    result.opcodeRegister = true
    byte = byte.slice(0, -2)
  }
  result.opcode = parseInt(byte, 16)
  const last = tokens.shift()
  if (last?.startsWith('/') === true) result.extension = Number(last.slice(1))
  else if (last?.startsWith('(') === true) result.modrmByte = parseInt(last.slice(1, 3), 16)
  if (tokens.length > 0 || Number.isNaN(result.opcode)) throw new Error(`opcode table: cannot read "${text}"`)
  return result
}

const PP_MASKS: Readonly<Record<string, number>> = { '': 15, NP: 1, NFx: 3, '66': 2, F3: 4, F2: 8 }

/** Effective operand sizes, before defaults, that select the form of `bits`: bits 16, 32, 64 = 1, 2, 4. */
function longSizes(bits: number, sizeClass: string, fixed: boolean, defaults: boolean): number {
  if (fixed) return bits === 64 ? 7 : 0
  if (defaults) return bits === 64 ? (sizeClass === 'y' ? 7 : 6) : bits === 16 && sizeClass !== 'y' ? 1 : 0
  if (sizeClass === 'v') return bits === 16 ? 1 : bits === 32 ? 2 : 4
  if (sizeClass === 'z') return bits === 16 ? 1 : bits === 32 ? 6 : 0
  return bits === 32 ? 3 : bits === 64 ? 4 : 0
}

function legacySizes(bits: number, sizeClass: string): number {
  if (sizeClass === 'y') return bits === 32 ? 7 : 0
  return bits === 16 ? 1 : bits === 32 ? 6 : 0
}

/** The attribute column of a row. */
interface Attributes {
  readonly words: ReadonlySet<string>
  /** `=v`, `=y`, `=z`, or `''`. */
  readonly sizeClass: SizeClass
  /** CPUID feature of the 16- or 32-bit form, and of the 64-bit form; or of the 128- and the 256-bit form. */
  readonly features: readonly [string, string]
  readonly addressSize: number
  readonly w: number
  readonly operation: string | undefined
  readonly exceptionClass: string
  readonly elementBytes: number
  /** Allowed values of VEX.L or EVEX.L'L; empty: any. */
  readonly lengths: readonly number[]
}

function readAttributes(text: string): Attributes {
  const list = text === '' ? [] : text.split(' ')
  let features: readonly [string, string] = ['', '']
  let sizeClass: SizeClass = ''
  let addressSize = 0
  let w = -1
  let lengths: readonly number[] = []
  let operation: string | undefined
  let exceptionClass = ''
  let [elementBytes, broadcast] = [0, 0]
  for (const word of list) {
    if (word.startsWith('=')) sizeClass = word.slice(1) as SizeClass
    else if (word.startsWith('as=')) operation = word.slice(3)
    else if (/^E\d/.test(word)) exceptionClass = word
    else if (/^e\d$/.test(word)) elementBytes = Number(word[1])
    else if (/^b[wdq]$/.test(word)) broadcast = SIZES[word[1]!]!
    else if (/^a\d\d$/.test(word)) addressSize = Number(word.slice(1))
    else if (/^w[01]$/.test(word)) w = Number(word[1])
    else if (/^l[012]+$/.test(word)) lengths = Array.from(word.slice(1), Number)
    else if (/^[A-Z0-9]*[A-Z]/.test(word)) {
      const [narrow, wide = narrow] = word.split('/') as [string, string?]
      features = [narrow, wide]
    }
  }
  const words = new Set(list)
  const isMasked = words.has('k') || words.has('kz') || words.has('kx')
  elementBytes ||= isMasked ? broadcast : 0
  return { words, sizeClass, features, addressSize, w, operation, exceptionClass, elementBytes, lengths }
}

/** Suffixes of conditions by the low four bits of an opcode. */
const CONDITIONS: readonly string[] = 'O NO B AE E NE BE A S NS P NP L GE LE G'.split(' ')
/** The opcode of a row with a condition. */
const CONDITION_OPCODE = /([\dA-F])0\+cc/
/** The start of a row: what precedes the operands, and the size of the first of them. */
const BEFORE_OPERANDS = /^((?:\S+ )*\S+ {2,}\S+ {2,})(?=\S(\w+))/

/** The rows that one stands for: of each condition; without and with a new data destination. */
function expand(line: string): readonly string[] {
  if (line.includes('+cc'))
    return CONDITIONS.map((suffix, i) =>
      line.replace(CONDITION_OPCODE, `$1${i.toString(16).toUpperCase()}`).replaceAll('cc', suffix),
    )
  if (!line.includes(' ndopt')) return [line]
  return [line.replace(' ndopt', ''), line.replace(' ndopt', ' nd').replace(BEFORE_OPERANDS, '$1B$2,')]
}

/** Operand (or address, or vector) sizes of each class, in bits. 0: one form for all. */
const CLASS_SIZES: Readonly<Record<SizeClass, readonly number[]>> = {
  '': [0],
  v: [16, 32, 64],
  y: [32, 64],
  z: [16, 32],
  a: [16, 32, 64],
  x: [128, 256],
}
/** Suffixes by EVEX.SC: as those of Jcc, but T is always and F is never. */
export const SOURCE_CONDITIONS: readonly string[] = 'O NO B AE E NE BE A S NS T F L GE LE G'.split(' ')
/** Of class `x` with EVEX. */
const EVEX_LENGTHS: readonly number[] = [128, 256, 512]

/** A row at one size and condition. */
interface Variant {
  readonly opcode: Opcode
  readonly mnemonic: string
  readonly column: OperandColumn
  readonly attributes: Attributes
  readonly sizeClass: SizeClass
  readonly bits: number
  readonly condition: number
}

/** Reads rows. Columns that occur often are read once. */
export class RowReader {
  #forms: Form[] = []
  readonly #operandColumns: Map<string, OperandColumn> = new Map()
  readonly #attributeColumns: Map<string, Attributes> = new Map()

  #operands(text: string): OperandColumn {
    let column = this.#operandColumns.get(text)
    if (column === undefined) {
      column = new OperandColumn(text)
      this.#operandColumns.set(text, column)
    }
    return column
  }

  #attributes(text: string): Attributes {
    let attributes = this.#attributeColumns.get(text)
    if (attributes === undefined) {
      attributes = readAttributes(text)
      this.#attributeColumns.set(text, attributes)
    }
    return attributes
  }

  /** Parses the forms of one row. */
  read(row: string): Form[] {
    this.#forms = []
    // Without the column of EVEX, whose rows stand for themselves.
    const columns = row.split(/ {2,}/).slice(0, 4)
    for (const line of expand(columns.join('  '))) this.#readLine(line)
    return this.#forms
  }

  #readLine(line: string): void {
    const [opcodeText, nameText, operandText, attributeText = ''] = line.split(/ {2,}/) as [
      string,
      string,
      string,
      string?,
    ]
    const opcode = parseOpcode(opcodeText)
    const names = nameText.split('/')
    const column = this.#operands(operandText)
    const attributes = this.#attributes(attributeText)
    const sizeClass = attributes.sizeClass === '' ? column.sizeClass : attributes.sizeClass
    const sizes = opcode.evex && sizeClass === 'x' ? EVEX_LENGTHS : CLASS_SIZES[sizeClass]
    for (const bits of sizes) {
      // A row may have only some of the vector lengths.
      if (sizeClass === 'x' && attributes.lengths.length > 0 && !attributes.lengths.includes(bits >> 8)) continue
      const name = names[names.length === 1 ? 0 : sizes.indexOf(bits)]!
      const variant = { opcode, mnemonic: name, column, attributes, sizeClass, bits, condition: -1 }
      if (!attributes.words.has('scc')) this.#add(variant)
      else {
        SOURCE_CONDITIONS.forEach((suffix, condition) => this.#add({ ...variant, mnemonic: name + suffix, condition }))
      }
    }
  }

  #add({ opcode, mnemonic, column, attributes, sizeClass, bits, condition }: Variant): void {
    const { words, w, operation = mnemonic, exceptionClass, elementBytes } = attributes
    const byAddress = sizeClass === 'a'
    const byVector = sizeClass === 'x'
    const bySize = sizeClass !== '' && !byAddress && !byVector
    const l = byVector ? bits >> 8 : (attributes.lengths[0] ?? -1)
    const fixed = words.has('f64')
    const near = words.has('n64')
    const defaults = words.has('d64')
    const legacy = words.has('o64') ? 0 : bySize ? legacySizes(bits, sizeClass) : 7
    let long = words.has('i64') ? 0 : 7
    let amd = long
    if (bySize && long !== 0) {
      long = longSizes(bits, sizeClass, fixed || near, defaults)
      amd = longSizes(bits, words.has('far') ? 'z' : sizeClass, fixed, defaults || near)
    }
    // The size for printing; other sizes are decoded, and refused later.
    const addressSize = byAddress || words.has('bounds') ? bits : attributes.addressSize
    let modes = (legacy === 0 ? 0 : MODE_16 | MODE_32) | ((long | amd) === 0 ? 0 : MODE_64)
    if (addressSize === 64) modes &= MODE_64
    if (addressSize === 16) modes &= MODE_16 | MODE_32
    if (modes === 0) return

    const { operands, immediate, mod: operandMod, modrm: operandModrm, isByte } = column.shape(bits)
    const { extension, modrmByte } = opcode
    const anyMod = words.has('anymod')
    const modrm = operandModrm || extension >= 0 || modrmByte >= 0
    const mod = anyMod ? 3 : words.has('reg') || modrmByte >= 0 ? 2 : operandMod
    this.#forms.push({
      mnemonic,
      operands,
      operandSize: bySize ? bits : isByte ? 8 : 0,
      sizeClass: bySize ? (sizeClass as Form['sizeClass']) : '',
      ...opcode,
      modrm,
      memory: !modrm || anyMod || mod === 2 ? 'never' : mod === 1 ? 'only' : 'any',
      immediate,
      modes,
      attributes: words,
      feature:
        opcode.evex && byVector
          ? attributes.features[0] + (bits < 512 && attributes.features[0].startsWith('AVX512') ? '+AVX512VL' : '')
          : attributes.features[bits === 64 || bits === 256 ? 1 : 0],
      operation,
      exceptionClass,
      elementBytes,
      addressSize,
      w,
      l,
      condition,
      selector: {
        mod,
        reg: extension >= 0 ? 1 << extension : modrmByte >= 0 ? 1 << ((modrmByte >> 3) & 7) : 255,
        rm: modrmByte >= 0 ? 1 << (modrmByte & 7) : words.has('rm0') ? 1 : 255,
        pp: PP_MASKS[opcode.prefix]!,
        w: w < 0 ? 3 : 1 << w,
        l: l < 0 ? 15 : 1 << l,
        osLegacy: legacy,
        osLong: long,
        osAmd: amd,
        as: addressSize === 0 || words.has('bounds') ? 7 : addressSize >> 4 === 4 ? 4 : addressSize >> 4,
        b: words.has('b0') ? 1 : 3,
        scc: condition < 0 ? 0xffff : 1 << condition,
        nd: opcode.evex && opcode.map === 4 ? (words.has('nd') ? 2 : 1) : 3,
        nf: words.has('nf1') ? 2 : opcode.evex && opcode.map === 4 && condition < 0 && !words.has('nf') ? 1 : 3,
      },
    })
  }
}

/** The form of code 0. */
export const invalidForm: Form = {
  mnemonic: 'INVALID',
  operands: [],
  operandSize: 0,
  sizeClass: '',
  vex: false,
  evex: false,
  rex2: false,
  map: 0,
  opcode: 0,
  opcodeRegister: false,
  prefix: '',
  modrm: false,
  extension: -1,
  modrmByte: -1,
  memory: 'never',
  immediate: Immediate.NONE,
  modes: 0,
  attributes: new Set(),
  feature: '',
  operation: 'INVALID',
  exceptionClass: '',
  elementBytes: 0,
  addressSize: 0,
  w: -1,
  l: -1,
  condition: -1,
  selector: {
    mod: 0,
    reg: 0,
    rm: 0,
    pp: 0,
    w: 0,
    l: 0,
    osLegacy: 0,
    osLong: 0,
    osAmd: 0,
    as: 0,
    b: 0,
    scc: 0,
    nd: 0,
    nf: 0,
  },
}
