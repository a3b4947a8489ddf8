import { describeArgument } from '@retrap/basics'
import { codeInfo } from '@retrap/x86-decoder'
import { AssemblerError } from './checks.ts'
import type { Form } from './form.ts'

/**
 * How an instruction is to be encoded where there is a choice.
 *
 * - `legacy`: without VEX or EVEX
 * - `rex`: with a REX prefix, needed or not
 * - `rex2`: with a REX2 prefix, which APX has
 * - `vex`: with VEX, of two bytes where they do
 * - `vex3`: with the three-byte VEX prefix
 * - `evex`: with EVEX, though VEX would do
 */
export type EncodingKind = 'legacy' | 'rex' | 'rex2' | 'vex' | 'vex3' | 'evex'

/** All kinds of encodings. */
export const ENCODING_KINDS: readonly EncodingKind[] = ['legacy', 'rex', 'rex2', 'vex', 'vex3', 'evex']

/** Prefixes that change nothing but how an instruction is executed. */
export type HintPrefix = 'bnd' | 'notrack' | 'xacquire' | 'xrelease' | 'taken' | 'notTaken'

/** Prefixes that the caller has asked for, for one instruction. */
export interface InstructionPrefixes {
  readonly lock: boolean
  readonly repeat: 0 | 0xf2 | 0xf3
  /** Required operand size; 0: the shortest. */
  readonly operandSize: 0 | 16 | 32 | 64
  /** Required address size without a memory operand; 0: the mode's. */
  readonly addressSize: 0 | 16 | 32 | 64
  /** Required encoding; undefined: the shortest. */
  readonly encoding: EncodingKind | undefined
  readonly hints: readonly HintPrefix[]
  /** No flags are to be written: EVEX.NF. */
  readonly noFlags: boolean
  /** Bytes to put in front, unchanged. */
  readonly raw: readonly number[]
}

/** An instruction of which nothing was asked. */
export const NO_PREFIXES: InstructionPrefixes = {
  lock: false,
  repeat: 0,
  operandSize: 0,
  addressSize: 0,
  encoding: undefined,
  hints: [],
  noFlags: false,
  raw: [],
}

/** The legacy prefixes of SDM vol. 2A, "Instruction Prefixes". */
const LEGACY_PREFIXES: ReadonlySet<number> = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3])

/** Throws `ERR_PREFIX` on a byte that is no legacy prefix. */
export function requireLegacyPrefix(value: number): void {
  if (!LEGACY_PREFIXES.has(value)) {
    throw new AssemblerError(
      'ERR_PREFIX',
      `${Number.isInteger(value) ? `0x${value.toString(16)}` : describeArgument(value)} is no legacy prefix`,
    )
  }
}

interface HintRule {
  readonly byte: number
  /** The instructions that the prefix may stand on, for messages. */
  readonly on: string
  readonly allows: (form: Form, hasMemory: boolean, lock: boolean) => boolean
}

const flowOf = (form: Form): string => codeInfo(form.code).flow

/** XCHG with memory is locked by itself. */
const isLocked = (form: Form, hasMemory: boolean, lock: boolean): boolean =>
  hasMemory && (lock || form.mnemonic === 'XCHG')

/** Where each hint is defined: SDM vol. 2, "BND", "XACQUIRE/XRELEASE", and vol. 1, "Branch Hints" and "No-track Prefix". */
const HINTS: { readonly [Hint in HintPrefix]: HintRule } = {
  bnd: {
    byte: 0xf2,
    on: 'near branches',
    allows: (form) =>
      /^(CALL|JMP|RET)$/.test(form.mnemonic) || (flowOf(form) === 'branch' && form.mnemonic.startsWith('J')),
  },
  notrack: {
    byte: 0x3e,
    on: 'indirect near branches',
    allows: (form) => /^(CALL|JMP)$/.test(form.mnemonic) && flowOf(form).startsWith('indirect'),
  },
  xacquire: {
    byte: 0xf2,
    on: 'locked instructions',
    allows: isLocked,
  },
  xrelease: {
    byte: 0xf3,
    on: 'locked instructions and stores by MOV',
    // 88, 89, C6 and C7, but not A2 and A3.
    allows: (form, hasMemory, lock) =>
      isLocked(form, hasMemory, lock) ||
      (form.mnemonic === 'MOV' && hasMemory && (form.opcode <= 0x89 || form.opcode >= 0xc6)),
  },
  taken: { byte: 0x3e, on: 'conditional branches', allows: (form) => isConditional(form) },
  notTaken: { byte: 0x2e, on: 'conditional branches', allows: (form) => isConditional(form) },
}

function isConditional(form: Form): boolean {
  return flowOf(form) === 'branch' && form.mnemonic.startsWith('J')
}

/**
 * The bytes of the prefixes that were asked for in words, in the order in which they are written.
 *
 * @throws AssemblerError `ERR_PREFIX` if the instruction does not allow one of the prefixes
 */
export function prefixBytes(form: Form, hasMemory: boolean, prefixes: InstructionPrefixes): number[] {
  if (prefixes === NO_PREFIXES) return []
  const out = [...prefixes.raw]
  for (const hint of prefixes.hints) {
    const { byte, on, allows } = HINTS[hint]
    if (!allows(form, hasMemory, prefixes.lock)) {
      throw new AssemblerError(
        'ERR_PREFIX',
        `${hint} is for ${on}; leave it out before ${form.mnemonic} with these operands`,
      )
    }
    out.push(byte)
  }
  if (prefixes.lock) {
    if (!form.lockable || !hasMemory) {
      throw new AssemblerError('ERR_PREFIX', `${form.mnemonic} cannot be locked with these operands`)
    }
    out.push(0xf0)
  }
  if (prefixes.repeat !== 0) {
    if (!form.repeatable) throw new AssemblerError('ERR_PREFIX', `${form.mnemonic} does not repeat`)
    out.push(prefixes.repeat)
  }
  return out
}

/** True where the form can be encoded as was asked. */
export function allowsEncoding(form: Pick<Form, 'encoding'>, encoding: EncodingKind | undefined): boolean {
  if (encoding === undefined) return true
  if (encoding === 'rex2' && form.encoding === 'rex2') return true
  const kind = encoding === 'rex' || encoding === 'rex2' ? 'legacy' : encoding === 'vex3' ? 'vex' : encoding
  return form.encoding === kind
}
