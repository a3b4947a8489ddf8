/**
 * Reads the rows of the opcode tables and expands each into its forms: one form is one row at one effective operand size.
 *
 * A row has the columns opcode, mnemonic, operands, attributes, two or more spaces apart.
 *
 * Opcode: `[VEX.][prefix] bytes [+r] [/digit | (modrm)]`. The prefix is `NP` (none of 66, F3, F2), `NFx` (neither F3 nor
 * F2), `66`, `F3`, `F2`; without one, prefixes do not select the row. `+r`: the low three bits name a register. `/digit`:
 * ModRM.reg. `(C1)`: the whole ModRM byte.
 *
 * Mnemonic: `A/B/C` names the 16-, 32- and 64-bit form (two names: 16/32 for class v or z, 32/64 for class y).
 *
 * Operands: a letter of SDM Appendix A (G E R M Z B S C D P Q N V W U H L X Y I O J A) and a size:
 * b w d q t dq qq = 1 2 4 8 10 16 32 bytes; v = operand size; z = at most 32 bits; y = 32 or 64; yy = twice y; as = address
 * size; p = far pointer; a = BOUND's pair; s = descriptor-table register; e, f = x87 environment, state; fx = FXSAVE area.
 * `Rv/Mw`: register and memory differ in size. `sIb`: sign-extended. Tb: XLATB's table. Registers by name, and `1`.
 *
 * Attributes: `lock` LOCK is legal with a memory destination; `rep`, `repe` string repetition; `i64` invalid in 64-bit mode,
 * `o64` only there; `d64` operand size defaults to 64 there; `f64` is always 64 there; `n64` near branch: f64 on Intel,
 * d64 on AMD; `=v`, `=y`, `=z` operand-size class where no operand shows it; `a16`, `a32`, `a64` address size; `b0` REX.B
 * clear; `w0`, `w1`, `l0`, `l1` VEX.W, VEX.L; `reg`, `mem` ModRM.mod; `anymod` mod is ignored and taken for 3; `cpl0`;
 * `no66` 66 is
 * not allowed; `maskmov` memory at DS:rDI; `protected` not in real or virtual-8086 mode; `alias` the assembler uses another row; `iopl` allowed by CPL ≤ IOPL; and the
 * CPUID feature in capitals (`A/B`: of the 32- and the 64-bit form).
 */
import { MODE_16, MODE_32, MODE_64, OperandKind } from './kinds.ts'

/** An operand of a form. Sizes in bytes. */
export interface FormOperand {
  kind: OperandKind
  size: number
  memorySize: number
  register: number
}

/** Sizes of an immediate and how it is read. The plain ones, a single number of at most 4 bytes, come first. */
export const Immediate = {
  NONE: 0,
  /** imm8, zero-extended */
  U8: 1,
  /** imm8 or rel8, sign-extended to 64 bits */
  S8: 2,
  /** imm16, zero-extended */
  U16: 3,
  /** rel16, sign-extended */
  S16: 4,
  /** imm32, zero-extended */
  U32: 5,
  /** imm32 or rel32, sign-extended to 64 bits */
  S32: 6,
  /** imm64 */
  U64: 7,
  /** ENTER: imm16, imm8 */
  U16_U8: 8,
  /** ptr16:16 */
  FAR16: 9,
  /** ptr16:32 */
  FAR32: 10,
  /** an address of the address size */
  MOFFS: 11,
  /** two imm8 */
  U8_U8: 12,
} as const
/** One of the values of the table of the same name. */
export type Immediate = (typeof Immediate)[keyof typeof Immediate]

/** What selects a form, as bit sets of allowed values. A bit set with all bits means that the property is ignored. */
export interface Selector {
  /** bit 0 memory, bit 1 register */
  mod: number
  /** ModRM.reg 0…7 */
  reg: number
  /** ModRM.rm 0…7 */
  rm: number
  /** mandatory prefix: bits none, 66, F3, F2 */
  pp: number
  /** VEX.W */
  w: number
  /** VEX.L */
  l: number
  /** effective operand size before defaults: bits 16, 32, 64; one set for legacy modes, one for 64-bit mode, one for that on AMD */
  osLegacy: number
  osLong: number
  osAmd: number
  /** effective address size: bits 16, 32, 64 */
  as: number
  /** REX.B */
  b: number
}

/** One row at one operand size: what `codes` describes and what the decoder's leaves are. */
export interface Form {
  mnemonic: string
  operands: FormOperand[]
  /** bits; 0 = none */
  operandSize: number
  sizeClass: '' | 'v' | 'y' | 'z'
  vex: boolean
  map: number
  opcode: number
  opcodeRegister: boolean
  prefix: string
  modrm: boolean
  extension: number
  modrmByte: number
  memory: 'any' | 'only' | 'never'
  immediate: Immediate
  modes: number
  attributes: ReadonlySet<string>
  feature: string
  /** required address size in bits, 0 = any */
  addressSize: number
  /** required VEX.W, VEX.L; -1 = ignored */
  w: number
  l: number
  selector: Selector
}

const SIZES: Readonly<Record<string, number>> = { b: 1, w: 2, d: 4, q: 8, t: 10, dq: 16, qq: 32, fx: 512 }

/** Registers that stand in a row by name: kind, size suffix, number. */
const FIXED: Readonly<Record<string, readonly [OperandKind, string, number]>> = {
  AL: [OperandKind.FIXED_REG, 'b', 0],
  CL: [OperandKind.FIXED_REG, 'b', 1],
  AX: [OperandKind.FIXED_REG, 'w', 0],
  DX: [OperandKind.FIXED_REG, 'w', 2],
  rAX: [OperandKind.FIXED_REG, 'v', 0],
  zAX: [OperandKind.FIXED_REG, 'z', 0],
  ES: [OperandKind.FIXED_SEGMENT, 'w', 0],
  CS: [OperandKind.FIXED_SEGMENT, 'w', 1],
  SS: [OperandKind.FIXED_SEGMENT, 'w', 2],
  DS: [OperandKind.FIXED_SEGMENT, 'w', 3],
  FS: [OperandKind.FIXED_SEGMENT, 'w', 4],
  GS: [OperandKind.FIXED_SEGMENT, 'w', 5],
  ST0: [OperandKind.ST0, 't', 0],
  STi: [OperandKind.STI, 't', -1],
  XMM0: [OperandKind.XMM_FIXED, 'dq', 0],
  Tb: [OperandKind.XLAT, 'b', -1],
  '1': [OperandKind.ONE, '', -1],
}

const LETTERS: Readonly<Record<string, OperandKind>> = {
  G: OperandKind.REG,
  E: OperandKind.RM,
  R: OperandKind.RM_REG,
  M: OperandKind.MEM,
  Z: OperandKind.OPCODE_REG,
  B: OperandKind.VVVV_REG,
  S: OperandKind.SEGMENT_REG,
  C: OperandKind.CONTROL_REG,
  D: OperandKind.DEBUG_REG,
  P: OperandKind.MMX_REG,
  Q: OperandKind.MMX_RM,
  N: OperandKind.MMX_RM_REG,
  V: OperandKind.XMM_REG,
  W: OperandKind.XMM_RM,
  U: OperandKind.XMM_RM_REG,
  H: OperandKind.XMM_VVVV,
  L: OperandKind.XMM_IS4,
  X: OperandKind.STRING_SOURCE,
  Y: OperandKind.STRING_DESTINATION,
  O: OperandKind.MOFFS,
}

/** Kinds whose operand may be a register of ModRM.rm or memory. */
const RM_KINDS: readonly OperandKind[] = [OperandKind.RM, OperandKind.MMX_RM, OperandKind.XMM_RM]
/** Kinds that must be a register of ModRM.rm. */
const RM_REGISTER_KINDS: readonly OperandKind[] = [
  OperandKind.RM_REG,
  OperandKind.MMX_RM_REG,
  OperandKind.XMM_RM_REG,
  OperandKind.STI,
]
/** Kinds that take part of a ModRM byte. */
const MODRM_KINDS: readonly OperandKind[] = [
  ...RM_KINDS,
  ...RM_REGISTER_KINDS,
  OperandKind.MEM,
  OperandKind.REG,
  OperandKind.SEGMENT_REG,
  OperandKind.CONTROL_REG,
  OperandKind.DEBUG_REG,
  OperandKind.MMX_REG,
  OperandKind.XMM_REG,
]

/** Size in bytes of suffix `s` when the form's operand size (or address size, for `as`) is `bits`. */
function sizeOf(suffix: string, bits: number): number {
  switch (suffix) {
    case '':
      return 0
    case 'v':
    case 'as':
      return bits >> 3
    case 'z':
      return Math.min(bits, 32) >> 3
    case 'y':
      return bits === 64 ? 8 : 4
    case 'yy':
      return bits === 64 ? 16 : 8
    case 'p':
      return (bits >> 3) + 2
    case 'a':
      return bits >> 2
    case 's':
      return bits === 64 ? 10 : 6
    case 'e':
      return bits === 16 ? 14 : 28
    case 'f':
      return bits === 16 ? 94 : 108
    default: {
      const size = SIZES[suffix]
      if (size === undefined) throw new Error(`opcode table: no operand size "${suffix}"`)
      return size
    }
  }
}

/** Splits an operand such as `Rv/Mw` into letter and the suffixes for register and memory. */
function splitOperand(text: string): [letter: string, register: string, memory: string] {
  if (text === 'sIb') return ['sI', 'b', 'b']
  const slash = text.indexOf('/')
  if (slash > 0) return ['E', text.slice(1, slash), text.slice(slash + 2)]
  const size = text.slice(1)
  return [text[0] as string, size, size]
}

function operandAt(text: string, bits: number, second: boolean): FormOperand {
  const fixed = FIXED[text]
  if (fixed !== undefined) {
    const size = sizeOf(fixed[1], bits)
    return { kind: fixed[0], size, memorySize: size, register: fixed[2] }
  }
  const [letter, registerSuffix, memorySuffix] = splitOperand(text)
  const size = sizeOf(registerSuffix, bits)
  let kind: OperandKind | undefined = LETTERS[letter]
  if (letter === 'sI') kind = OperandKind.IMM8_SX
  if (letter === 'A') kind = OperandKind.FAR_POINTER
  if (letter === 'I' || letter === 'J') {
    if (letter === 'J') kind = size === 1 ? OperandKind.REL8 : size === 2 ? OperandKind.REL16 : OperandKind.REL32
    else if (size === 1) kind = second ? OperandKind.IMM8_SECOND : OperandKind.IMM8
    else if (size === 2) kind = OperandKind.IMM16
    else if (size === 8) kind = OperandKind.IMM64
    else kind = bits === 64 ? OperandKind.IMM32_SX : OperandKind.IMM32
  }
  if (kind === undefined) throw new Error(`opcode table: no operand "${text}"`)
  const isVector = kind === OperandKind.XMM_RM || kind === OperandKind.XMM_REG || kind === OperandKind.XMM_RM_REG
  const isMmx = kind === OperandKind.MMX_RM
  return {
    kind,
    // A vector register is a whole one, however little of it is used.
    size: isVector && size < 32 ? 16 : isMmx ? 8 : size,
    memorySize: sizeOf(memorySuffix, bits),
    register: -1,
  }
}

function immediateOf(operands: readonly FormOperand[]): Immediate {
  let found: Immediate = Immediate.NONE
  for (const { kind, size } of operands) {
    switch (kind) {
      case OperandKind.IMM8:
      case OperandKind.XMM_IS4:
        found = Immediate.U8
        break
      case OperandKind.IMM8_SX:
      case OperandKind.REL8:
        found = Immediate.S8
        break
      case OperandKind.IMM16:
        found = Immediate.U16
        break
      case OperandKind.IMM32:
        found = Immediate.U32
        break
      case OperandKind.IMM32_SX:
      case OperandKind.REL32:
        found = Immediate.S32
        break
      case OperandKind.IMM64:
        found = Immediate.U64
        break
      case OperandKind.REL16:
        found = Immediate.S16
        break
      case OperandKind.IMM8_SECOND:
        found = found === Immediate.U16 ? Immediate.U16_U8 : Immediate.U8_U8
        break
      case OperandKind.FAR_POINTER:
        found = size === 4 ? Immediate.FAR16 : Immediate.FAR32
        break
      case OperandKind.MOFFS:
        found = Immediate.MOFFS
        break
      default:
    }
  }
  return found
}

interface Opcode {
  vex: boolean
  prefix: string
  map: number
  opcode: number
  opcodeRegister: boolean
  extension: number
  modrmByte: number
}

function parseOpcode(text: string): Opcode {
  const result: Opcode = {
    vex: false,
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
  const tokens = rest.split(' ')
  if (tokens.length > 1 && /^(NP|NFx|66|F3|F2)$/.test(tokens[0] as string)) result.prefix = tokens.shift() as string
  const escape = /^0F (38 |3A )?(?=[0-9A-F]{2})/.exec(tokens.join(' '))
  if (escape !== null) {
    result.map = escape[1] === undefined ? 1 : escape[1] === '38 ' ? 2 : 3
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

/** The widest size letter decides: v over y over z. */
function classOf(operands: readonly string[], attributes: ReadonlySet<string>): '' | 'v' | 'y' | 'z' {
  for (const size of ['v', 'y', 'z'] as const) {
    if (attributes.has(`=${size}`)) return size
    for (const operand of operands) {
      const [, register, memory] = FIXED[operand] === undefined ? splitOperand(operand) : ['', FIXED[operand][1], '']
      for (const suffix of [register, memory]) {
        if (suffix === size) return size
        if (size === 'v' && (suffix === 'p' || suffix === 'a')) return size
        if (size === 'y' && suffix === 'yy') return size
        if (size === 'z' && (suffix === 'e' || suffix === 'f')) return size
      }
    }
  }
  return ''
}

function expandRow(line: string, into: Form[]): void {
  const columns = line.trim().split(/\s{2,}/)
  const opcode = parseOpcode(columns[0] as string)
  const names = (columns[1] as string).split('/')
  const operandText = columns[2] === '-' ? '' : (columns[2] as string)
  const texts = operandText === '' ? [] : operandText.split(',')
  const attributes = new Set((columns[3] ?? '').split(' ').filter((word) => word !== ''))
  let feature = ''
  for (const word of attributes) if (/^[A-Z0-9]*[A-Z]/.test(word)) feature = word

  const sizeClass = classOf(texts, attributes)
  const byAddress = texts.some((text) => text.endsWith('as'))
  const fixed = attributes.has('f64')
  const near = attributes.has('n64')
  const defaults = attributes.has('d64')

  const sizes = byAddress || sizeClass !== '' ? [16, 32, 64] : [0]
  for (const bits of sizes) {
    if (sizeClass === 'y' && bits === 16) continue
    if (sizeClass === 'z' && bits === 64) continue
    const osLegacy = sizeClass === '' ? 7 : legacySizes(bits, sizeClass)
    const osLong = sizeClass === '' ? 7 : longSizes(bits, sizeClass, fixed || near, defaults)
    const osAmd = sizeClass === '' ? 7 : longSizes(bits, sizeClass, fixed, defaults || near)
    let modes = MODE_16 | MODE_32 | MODE_64
    if (attributes.has('i64') || (osLong | osAmd) === 0) modes &= ~MODE_64
    if (attributes.has('o64') || osLegacy === 0) modes &= ~(MODE_16 | MODE_32)
    if (byAddress && bits === 64) modes &= MODE_64
    if (byAddress && bits === 16) modes &= ~MODE_64
    if (attributes.has('a64')) modes &= MODE_64
    if (attributes.has('a16')) modes &= ~MODE_64
    if (modes === 0) continue

    const operands = texts.map((text, i) => operandAt(text, bits, i > 0 && /^I[bw]$/.test(texts[i - 1] as string)))
    let mod = 3
    if (operands.some(({ kind }) => kind === OperandKind.MEM) || attributes.has('mem')) mod = 1
    if (operands.some(({ kind }) => RM_REGISTER_KINDS.includes(kind)) || attributes.has('reg') || opcode.modrmByte >= 0)
      mod = 2
    if (attributes.has('anymod')) mod = 3
    const modrm =
      opcode.extension >= 0 || opcode.modrmByte >= 0 || operands.some(({ kind }) => MODRM_KINDS.includes(kind))
    const byteOperand = sizeClass === '' && !byAddress && operands.some(isByteInteger)
    const name =
      names.length === 1
        ? names[0]
        : names[sizeClass === 'y' ? (bits === 64 ? 1 : 0) : bits === 16 ? 0 : bits === 32 ? 1 : 2]
    const addressSize = byAddress
      ? bits
      : attributes.has('a16')
        ? 16
        : attributes.has('a32')
          ? 32
          : attributes.has('a64')
            ? 64
            : 0
    const w = attributes.has('w0') ? 0 : attributes.has('w1') ? 1 : -1
    const l = attributes.has('l0') ? 0 : attributes.has('l1') ? 1 : -1
    into.push({
      mnemonic: name as string,
      operands,
      operandSize: byAddress ? 0 : byteOperand ? 8 : bits,
      sizeClass,
      ...opcode,
      modrm,
      memory: mod === 3 && !attributes.has('anymod') && modrm ? 'any' : mod === 1 ? 'only' : 'never',
      immediate: immediateOf(operands),
      modes,
      attributes,
      feature: feature.split('/')[sizeClass === 'y' && bits === 64 ? 1 : 0] ?? feature,
      addressSize,
      w,
      l,
      selector: {
        mod,
        reg:
          opcode.extension >= 0
            ? 1 << opcode.extension
            : opcode.modrmByte >= 0
              ? 1 << ((opcode.modrmByte >> 3) & 7)
              : 255,
        rm: opcode.modrmByte >= 0 ? 1 << (opcode.modrmByte & 7) : 255,
        pp: PP_MASKS[opcode.prefix] as number,
        w: w < 0 ? 3 : 1 << w,
        l: l < 0 ? 3 : 1 << l,
        osLegacy: attributes.has('o64') ? 0 : osLegacy,
        osLong: attributes.has('i64') ? 0 : osLong,
        osAmd: attributes.has('i64') ? 0 : osAmd,
        as: addressSize === 0 ? 7 : addressSize === 16 ? 1 : addressSize === 32 ? 2 : 4,
        b: attributes.has('b0') ? 1 : 3,
      },
    })
  }
}

/** A general register or memory operand of one byte: the instruction is a byte instruction. */
function isByteInteger({ kind, size }: FormOperand): boolean {
  if (size !== 1) return false
  switch (kind) {
    case OperandKind.REG:
    case OperandKind.RM:
    case OperandKind.OPCODE_REG:
    case OperandKind.MOFFS:
    case OperandKind.STRING_SOURCE:
    case OperandKind.STRING_DESTINATION:
    case OperandKind.XLAT:
      return true
    default:
      return false
  }
}

/** Expands the rows of `tables` in order. Form 0 is the invalid instruction. */
export function expandRows(tables: readonly string[]): Form[] {
  const forms: Form[] = [
    {
      mnemonic: 'INVALID',
      operands: [],
      operandSize: 0,
      sizeClass: '',
      vex: false,
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
      addressSize: 0,
      w: -1,
      l: -1,
      selector: { mod: 0, reg: 0, rm: 0, pp: 0, w: 0, l: 0, osLegacy: 0, osLong: 0, osAmd: 0, as: 0, b: 0 },
    },
  ]
  for (const table of tables) {
    for (const line of table.split('\n')) if (line !== '') expandRow(line, forms)
  }
  return forms
}
