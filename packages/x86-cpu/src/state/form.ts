/**
 * A form: one operation with the kinds and sizes of its operands settled, and nothing else. `ADD r32, r32` and
 * `ADD r32, m32` are forms; which registers they name is in the record.
 */

/** Where an operand of a form is found. */
export type OperandKind =
  /** General, segment-free integer register: byte, word, dword or qword in the state. */
  | 'reg'
  /** Memory at the record's effective address. */
  | 'mem'
  /** The record's immediate. */
  | 'imm'
  /** Vector register (S_XMM): 16 bytes, 32 or 64. */
  | 'xmm'
  /** Memory addressed by a vector of indices: the record's second register is the index, whose size this is. */
  | 'vsib'
  /** Mask register (S_OPMASK): the low bits of 64. */
  | 'mask'
  /** MMX register: the significand of an x87 register. */
  | 'mmx'
  /** x87 register relative to TOP; the record's immediate holds i. */
  | 'st'
  /** The x87 register on top of the stack: FADD ST(0), ST(i) and FADD ST(i), ST(0) are two forms. */
  | 'st0'
  /** A branch target within the page, at or before the branch: the record's immediate is four times its offset. */
  | 'relp'
  /** The same, but after the branch, so that it cannot be part of a loop without another branch that is. */
  | 'relf'
  /** Another branch target. 64-bit mode: the immediate is relative to the page; else it is the displacement. */
  | 'rel'
  /** Segment, control or debug register: the record's immediate is its number. */
  | 'system'
  /** Default flags of a conditional compare: they stand where the record has a register. */
  | 'flags'

export interface FormOperand {
  readonly kind: OperandKind
  /** Bytes. */
  readonly size: number
  /** The form's use of its memory operand; decides which segment rights are checked. */
  readonly access?: 'r' | 'w' | 'rw' | 'n'
}

/** Repeat prefix of a string instruction. */
export type Repeat = 'none' | 'rep' | 'repe' | 'repne'

/** The properties that EVEX adds to a form. The mask's register, zeroing and rounding are in the record. */
export interface EvexForm {
  /** Elements that a mask covers, from the lowest on; 0: there is no mask. */
  readonly elements: number
  /** Bytes of those elements in each operand. */
  readonly elementBytes: readonly number[]
  /** Operand 2 has the elements that the lower half of the results is computed of, operand 1 those of the upper half. */
  readonly isPaired: boolean
  /** Only the lowest element is computed; the others come from the first source. */
  readonly isScalar: boolean
  /** The destination of a scalar is a source, too, whose elements above the lowest stay. */
  readonly isAccumulating: boolean
  /** Each element of the memory operand is for several of the results. */
  readonly isRepeated: boolean
  /** Elements that the mask leaves out must raise no exceptions of floating point. */
  readonly isFloat: boolean
  /** Elements of the memory operand that the mask leaves out are not accessed; of one that is repeated: if it leaves all out. */
  readonly isSuppressing: boolean
  /** Bytes of the element of memory that EVEX.b repeats, or 0. */
  readonly broadcast: number
  /** EVEX.b of registers chooses the rounding, or suppresses exceptions. */
  readonly isRounding: boolean
  /** Tells forms apart whose operands are the same. */
  readonly key: string
}

export interface Form {
  readonly mnemonic: string
  /** Operand size in bytes: 1, 2, 4 or 8 for integer forms; as the operands have it otherwise. */
  readonly size: number
  readonly operands: readonly FormOperand[]
  /** 64-bit mode, for the few families whose behaviour depends on it (stack, branches, strings). */
  readonly long: boolean
  /** VEX- or EVEX-encoded: no real or virtual-8086 mode. Vector instructions have a destination of their own and zero what lies above. */
  readonly vex: boolean
  readonly lock: boolean
  readonly repeat: Repeat
  /** Address size in bytes (2, 4, 8), for string instructions and LOOP/JCXZ. 0 elsewhere. */
  readonly addressSize: number
  /** EVEX.NF where the instruction writes flags without it. */
  readonly noFlags?: boolean
  readonly evex?: EvexForm
}

/** The key under which equal forms meet: `ADD.4 reg4 mem4`. */
export function formKey(form: Form): string {
  let key = `${form.mnemonic}.${form.size}`
  for (const { kind, size, access } of form.operands) key += ` ${kind}${size}${kind === 'mem' ? (access ?? '') : ''}`
  if (form.long) key += ' long'
  if (form.lock) key += ' lock'
  if (form.repeat !== 'none') key += ` ${form.repeat}`
  if (form.addressSize !== 0) key += ` a${form.addressSize}`
  if (form.noFlags === true) key += ' nf'
  return form.evex === undefined ? key : key + form.evex.key
}

/** Returns the form of something that has no operands. @param size - of a word on the stack, or 0 */
export function plainForm(mnemonic: string, size: number): Form {
  const long = size === 8
  return { mnemonic, size, operands: [], long, vex: false, lock: false, repeat: 'none', addressSize: 0 }
}
