/** Reads the operand column of a row, in the notation that `rows.ts` explains. */
import { OperandKind, type OperandPlace, REGISTER_KINDS } from './kinds.ts'

/** An operand of a form. Sizes in bytes. */
export interface FormOperand {
  readonly kind: OperandKind
  readonly size: number
  readonly memorySize: number
  readonly register: number
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
/** A value of `Immediate`. */
export type Immediate = (typeof Immediate)[keyof typeof Immediate]

/** Parts of a vector register: of 16 bytes with VEX.L = 0, of 32 with VEX.L = 1, of 64 with EVEX.L'L = 2. */
const VECTOR_PARTS: Readonly<Record<string, number>> = { x: 1, hx: 2, qx: 4, ex: 8 }

/** Bytes of the size letters that say one size. */
export const SIZES: Readonly<Record<string, number>> = {
  b: 1,
  w: 2,
  d: 4,
  q: 8,
  t: 10,
  dq: 16,
  qq: 32,
  oq: 64,
  kl: 48,
  fx: 512,
}

/** The index register of VSIB memory: XMM, YMM, ZMM, as long as the vectors, half as long. */
const INDEX_SIZES: Readonly<Record<string, string>> = { x: 'dq', y: 'qq', z: 'oq', V: 'x', U: 'hx' }

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
  Tq: [OperandKind.ABS64, 'q', -1],
  F: [OperandKind.DFV, '', -1],
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
  v: OperandKind.VSIB,
  kG: OperandKind.MASK_REG,
  kE: OperandKind.MASK_RM,
  kR: OperandKind.MASK_RM_REG,
  kB: OperandKind.MASK_VVVV,
  tG: OperandKind.TILE_REG,
  tR: OperandKind.TILE_RM_REG,
  tB: OperandKind.TILE_VVVV,
  bG: OperandKind.BOUND_REG,
  bE: OperandKind.BOUND_RM,
}

/** Places that are part of a ModRM byte. */
const MODRM_PLACES: readonly (OperandPlace | undefined)[] = ['reg', 'rm', 'rm-register', 'index']

/** Size in bytes of suffix `s` when the form's operand size (or address size, for `as`) is `bits`. */
function sizeOf(suffix: string, bits: number): number {
  const parts = VECTOR_PARTS[suffix]
  if (parts !== undefined) return bits / 8 / parts
  const size = SIZES_BY_BITS[suffix]?.(bits) ?? SIZES[suffix]
  if (size === undefined) throw new Error(`opcode table: no operand size "${suffix}"`)
  return size
}

const SIZES_BY_BITS: Readonly<Record<string, (bits: number) => number>> = {
  '': () => 0,
  v: (bits) => bits >> 3,
  as: (bits) => bits >> 3,
  z: (bits) => Math.min(bits, 32) >> 3,
  y: (bits) => (bits === 64 ? 8 : 4),
  yy: (bits) => (bits === 64 ? 16 : 8),
  p: (bits) => (bits >> 3) + 2,
  a: (bits) => bits >> 2,
  s: (bits) => (bits === 64 ? 10 : 6),
  e: (bits) => (bits === 16 ? 14 : 28),
  f: (bits) => (bits === 16 ? 94 : 108),
}

/** Splits an operand such as `Rv/Mw` into letter and the suffixes for register and memory. */
function splitOperand(text: string): [letter: string, register: string, memory: string] {
  if (text === 'sIb') return ['sI', 'b', 'b']
  if (text === 'uId') return ['uI', 'd', 'd']
  if (text === 'nI') return ['nI', 'b', 'b']
  // Masks, tiles and bounds: two letters.
  if (/^[ktb][A-Z]/.test(text)) return [text.slice(0, 2), text.slice(2), text.slice(2)]
  // VSIB: `vxd` has an XMM register as index and elements of 4 bytes.
  if (text.startsWith('v')) return ['v', INDEX_SIZES[text[1]!]!, text.slice(2)]
  const slash = text.indexOf('/')
  if (slash > 0) return ['E', text.slice(1, slash), text.slice(slash + 2)]
  const size = text.slice(1)
  return [text[0]!, size, size]
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
  if (letter === 'uI') kind = OperandKind.IMM32
  if (letter === 'nI') kind = OperandKind.IMM4
  if (letter === 'A') kind = OperandKind.FAR_POINTER
  if (letter === 'I' || letter === 'J') {
    if (letter === 'J') kind = size === 1 ? OperandKind.REL8 : size === 2 ? OperandKind.REL16 : OperandKind.REL32
    else if (size === 1) kind = second ? OperandKind.IMM8_SECOND : OperandKind.IMM8
    else if (size === 2) kind = OperandKind.IMM16
    else if (size === 8) kind = OperandKind.IMM64
    else kind = bits === 64 ? OperandKind.IMM32_SX : OperandKind.IMM32
  }
  if (kind === undefined) throw new Error(`opcode table: no operand "${text}"`)
  const isVector = REGISTER_KINDS[kind]?.[0] === 'vector'
  const isMmx = kind === OperandKind.MMX_RM
  const isBound = kind === OperandKind.BOUND_RM || kind === OperandKind.BOUND_REG
  return {
    kind,
    // A vector register counts as a whole, however little of it is used.
    size: (isVector && size < 32) || isBound ? 16 : isMmx ? 8 : size,
    memorySize: sizeOf(memorySuffix, bits),
    register: -1,
  }
}

const IMMEDIATES: { readonly [Kind in OperandKind]?: Immediate } = {
  [OperandKind.IMM8]: Immediate.U8,
  [OperandKind.XMM_IS4]: Immediate.U8,
  [OperandKind.IMM8_SX]: Immediate.S8,
  [OperandKind.REL8]: Immediate.S8,
  [OperandKind.IMM16]: Immediate.U16,
  [OperandKind.REL16]: Immediate.S16,
  [OperandKind.IMM32]: Immediate.U32,
  [OperandKind.IMM32_SX]: Immediate.S32,
  [OperandKind.REL32]: Immediate.S32,
  [OperandKind.IMM64]: Immediate.U64,
  [OperandKind.ABS64]: Immediate.U64,
  [OperandKind.MOFFS]: Immediate.MOFFS,
}

function immediateOf(operands: readonly FormOperand[]): Immediate {
  let found: Immediate = Immediate.NONE
  for (const { kind, size } of operands) {
    if (kind === OperandKind.IMM8_SECOND) found = found === Immediate.U16 ? Immediate.U16_U8 : Immediate.U8_U8
    else if (kind === OperandKind.FAR_POINTER) found = size === 4 ? Immediate.FAR16 : Immediate.FAR32
    else found = IMMEDIATES[kind] ?? found
  }
  return found
}

/** A general register or memory operand of one byte: the instruction is a byte instruction. */
function isByteInteger({ kind, size }: FormOperand): boolean {
  if (size !== 1) return false
  switch (kind) {
    case OperandKind.REG:
    case OperandKind.RM:
    case OperandKind.VVVV_REG:
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

/** Operand sizes of a row: `v` 16, 32, 64; `z` 16, 32; `y` 32, 64; `a` as address sizes; `x` vectors of 128, 256; `''` one form. */
export type SizeClass = '' | 'v' | 'y' | 'z' | 'a' | 'x'

/** The widest size letter decides: v over y over z. */
function readClass(texts: readonly string[]): SizeClass {
  let found: SizeClass = ''
  for (const text of texts) {
    const fixed = FIXED[text]
    const [, register, memory] = fixed === undefined ? splitOperand(text) : ['', fixed[1], '']
    for (const suffix of [register, memory]) {
      if (suffix === 'v' || suffix === 'p' || suffix === 'a') return 'v'
      if (suffix === 'as') return 'a'
      if (VECTOR_PARTS[suffix] !== undefined) return 'x'
      if (suffix === 'y' || suffix === 'yy') found = 'y'
      else if ((suffix === 'z' || suffix === 'e' || suffix === 'f') && found === '') found = 'z'
    }
  }
  return found
}

/** The operand column's description of a form. Rows with the same column share it. */
export interface Shape {
  readonly operands: readonly FormOperand[]
  readonly immediate: Immediate
  /** Bit 0: ModRM may name memory, bit 1: a register. */
  readonly mod: number
  readonly modrm: boolean
  /** A byte instruction. */
  readonly isByte: boolean
}

function readShape(texts: readonly string[], bits: number): Shape {
  const operands = texts.map((text, i) => operandAt(text, bits, i > 0 && /^I[bw]$/.test(texts[i - 1]!)))
  let mod = 3
  let modrm = false
  for (const { kind } of operands) {
    const place = REGISTER_KINDS[kind]?.[1]
    if (kind === OperandKind.MEM || place === 'index') mod = 1
    else if (place === 'rm-register') mod = 2
    if (kind === OperandKind.MEM || MODRM_PLACES.includes(place)) modrm = true
  }
  return { operands, immediate: immediateOf(operands), mod, modrm, isByte: operands.some(isByteInteger) }
}

/** The operand column of a row. */
export class OperandColumn {
  readonly sizeClass: SizeClass
  readonly #texts: readonly string[]
  readonly #shapes: Map<number, Shape>

  constructor(text: string) {
    this.#texts = text === '-' ? [] : text.split(',')
    this.sizeClass = readClass(this.#texts)
    this.#shapes = new Map()
  }

  /** The column at an operand size (class `a`: address size, `x`: vector length) of `bits`. */
  shape(bits: number): Shape {
    let shape = this.#shapes.get(bits)
    if (shape === undefined) {
      shape = readShape(this.#texts, bits)
      this.#shapes.set(bits, shape)
    }
    return shape
  }
}
