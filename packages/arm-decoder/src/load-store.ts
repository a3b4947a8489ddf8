/** The description of a decoded load or store. */
import { extract, type Form } from './row.ts'

/** Instruction sets. T16 and T32 are the two lengths of Thumb. */
export const InstructionSet = { A64: 0, A32: 1, T16: 2, T32: 3 } as const

/** A value of `InstructionSet`. */
export type InstructionSet = (typeof InstructionSet)[keyof typeof InstructionSet]

/** How address and writeback derive from base and offset. */
export const Addressing = {
  /** Base plus offset. */
  OFFSET: 0,
  /** Base plus offset, which the base becomes. */
  PRE_INDEX: 1,
  /** The base, to which the offset is added then. */
  POST_INDEX: 2,
  /** The instruction's own address, aligned, plus offset. */
  LITERAL: 3,
} as const

/** A value of `Addressing`. */
export type Addressing = (typeof Addressing)[keyof typeof Addressing]

/** The operation on an index register before it is added. */
export const Extend = { LSL: 0, LSR: 1, ASR: 2, ROR: 3, RRX: 4, UXTW: 5, SXTW: 6, SXTX: 7 } as const

/** A value of `Extend`. */
export type Extend = (typeof Extend)[keyof typeof Extend]

/** Register number of a field that an instruction has not. */
export const NO_REGISTER = -1

/**
 * A decoded load or store. Filled in by `decodeLoadStoreA64` and its like; a caller keeps one and uses it again.
 *
 * Register numbers are architectural. In A64, 31 is the zero register in `rt`, `rt2`, `rs`, `rm` and the stack pointer in
 * `rn`. SIMD&FP registers are counted in `registerSize` units: D0…D31, or Q0…
 */
export class LoadStore {
  /** The instruction set. */
  set: InstructionSet
  /** The row of the table. Only valid after a successful decode. */
  form: Form
  /** The encoding; T32: the first halfword in bits 31:16. */
  word: number
  /** In bytes: 2 or 4. */
  length: number
  /** A32 condition; 14 = always. */
  condition: number
  /** First transferred register, or `NO_REGISTER`. */
  rt: number
  /** Second transferred register, or `NO_REGISTER`. */
  rt2: number
  /** Status or source register, or `NO_REGISTER`. */
  rs: number
  /** Base register, or `NO_REGISTER`. */
  rn: number
  /** Index register, or `NO_REGISTER`. */
  rm: number
  /** How the base is used and written back. */
  addressing: Addressing
  /** Immediate offset in bytes. */
  offset: number
  /** The index register is subtracted (A32 and T32). */
  subtract: boolean
  /** How the index register is extended or shifted. */
  extend: Extend
  /** Bits by which the index is shifted. */
  shift: number
  /** Bytes of one element, which one access transfers. */
  elementSize: number
  /** Elements that are transferred, over all registers. */
  elements: number
  /** Bytes of a transferred register: 4, 8; SIMD&FP 1 to 16. */
  registerSize: number
  /** Registers are SIMD&FP registers. */
  vector: boolean
  /** LDM and STM: bit per register. SIMD: how many registers. */
  list: number
  /** Lane of a single structure, or -1 for all. */
  lane: number
  /** Multiple registers in A32 and Thumb: bytes from the base to the lowest element; `offset` is what writeback adds. */
  start: number
  /** Distance between a structure's registers: 2 for every other one. */
  step: number
  /** Bytes to which a SIMD structure's address must be aligned; 1 = any. */
  alignment: number
  /** Acquire semantics. */
  acquire: boolean
  /** Release semantics. */
  release: boolean

  constructor() {
    this.set = InstructionSet.A64
    this.form = NO_FORM
    this.word = 0
    this.length = 4
    this.condition = 14
    this.rt = NO_REGISTER
    this.rt2 = NO_REGISTER
    this.rs = NO_REGISTER
    this.rn = NO_REGISTER
    this.rm = NO_REGISTER
    this.addressing = Addressing.OFFSET
    this.offset = 0
    this.subtract = false
    this.extend = Extend.LSL
    this.shift = 0
    this.elementSize = 0
    this.elements = 0
    this.registerSize = 0
    this.vector = false
    this.list = 0
    this.lane = -1
    this.start = 0
    this.step = 1
    this.alignment = 1
    this.acquire = false
    this.release = false
  }
}

const NO_FORM: Form = {
  index: -1,
  mnemonic: '',
  name: '',
  sign: '',
  rounding: '',
  operands: '',
  operation: '',
  size: 0,
  attributes: new Set(),
  feature: '',
  mask: 0,
  value: 0,
  fields: new Map(),
  immediateSigned: false,
  immediateScale: 0,
  by: 0,
  registers: 0,
}

/** The number of the register that a letter names, or `NO_REGISTER`. */
function registerOf(form: Form, letter: string, word: number): number {
  const field = form.fields.get(letter)
  return field === undefined ? NO_REGISTER : extract(field, word)
}

/** Begins to fill in a decoded instruction: its registers, and the fields that most instructions have alike. */
export function beginLoadStore(set: InstructionSet, form: Form, word: number, insn: LoadStore): void {
  insn.set = set
  insn.form = form
  insn.word = word >>> 0
  insn.length = 4
  insn.condition = 14
  insn.rt = registerOf(form, 't', word)
  insn.rt2 = registerOf(form, 'u', word)
  insn.rs = registerOf(form, 's', word)
  insn.rn = registerOf(form, 'n', word)
  insn.rm = registerOf(form, 'm', word)
  insn.subtract = false
  insn.list = 0
  insn.lane = -1
  insn.start = 0
  insn.step = 1
  insn.alignment = 1
  insn.elements = 1
  insn.vector = false
  insn.extend = Extend.LSL
  insn.shift = 0
}
