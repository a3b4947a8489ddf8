/**
 * The instructions that are patched, and their replacements.
 *
 * An instruction is decoded; its form, as the decoder's opcode table names it, selects a row. A replacement is as long as
 * the instruction: NOPs, the push that hands the helper its operand, and a call.
 *
 * Source: Intel SDM vol. 2, "MOV", "PUSH", "CALL"; the kvmvapic option ROM's interface.
 */
import { describeArgument } from '@retrap/basics'
import { PAGE_BYTES } from '@retrap/memory'
import { check, checkAddress } from './arguments.ts'
import { VapicError } from './errors.ts'
import { codeInfo, DECODED, decodeInto, Instruction, MODE_32 } from '@retrap/x86-decoder'

/** Tells whether an instruction reads or writes the task priority. */
export type TprAccess = 'read' | 'write'

/** Names a helper of the option ROM; `get` is one per register, in the order of their encoding. */
export type HandlerName = 'set' | 'setEax' | 'getStack' | 'get'

/** Describes an instruction that can be patched. */
export interface TprInstruction {
  /** Form in the decoder's opcode table. */
  readonly form: string
  /** Length in bytes, which leaves room for an absolute address and no prefix. */
  readonly length: number
  /** Direction of the access to the register. */
  readonly access: TprAccess
  /** Helper that the replacement calls. */
  readonly handler: HandlerName
  /** Operand that the replacement pushes for the helper. */
  readonly pushes: 'nothing' | 'register' | 'eax' | 'immediate'
}

/** Lists the instructions that are patched, the longest first. */
export const tprInstructions: readonly TprInstruction[] = [
  { form: 'MOV r/m32, imm32', length: 10, access: 'write', handler: 'set', pushes: 'immediate' },
  { form: 'MOV r/m32, r32', length: 6, access: 'write', handler: 'set', pushes: 'register' },
  { form: 'MOV r32, r/m32', length: 6, access: 'read', handler: 'get', pushes: 'nothing' },
  { form: 'PUSH r/m32', length: 6, access: 'read', handler: 'getStack', pushes: 'eax' },
  { form: 'MOV EAX, moffs32', length: 5, access: 'read', handler: 'get', pushes: 'nothing' },
  { form: 'MOV moffs32, EAX', length: 5, access: 'write', handler: 'setEax', pushes: 'nothing' },
]

const byForm: ReadonlyMap<string, TprInstruction> = new Map(tprInstructions.map((row) => [row.form, row]))
const lengths: readonly number[] = [...new Set(tprInstructions.map((row) => row.length))]

/** Bytes of the longest instruction that is patched. */
export const MAX_TPR_INSTRUCTION: number = Math.max(...lengths)

/** Describes an instruction that was found in guest code. */
export interface FoundInstruction {
  /** The instruction's row. */
  readonly row: TprInstruction
  /** Register that is read or written: 0 (EAX) to 7 (EDI). */
  readonly register: number
  /** Linear address of its memory operand. */
  readonly address: number
  /** Bytes in memory. */
  readonly bytes: Uint8Array
}

/** Offset of the task priority register in the local APIC's page. */
const TPR_OFFSET = 0x80

const NOP = 0x90
const PUSH_REGISTER = 0x50
const PUSH_IMMEDIATE = 0x68
const CALL = 0xe8
/** Bytes of the call that each replacement ends with. */
export const CALL_BYTES = 5

const insn = new Instruction()

/**
 * Decodes the instruction at the start of some bytes, if it can be patched.
 *
 * @param bytes - 32-bit code from the first byte of the instruction on; too few bytes are no instruction
 */
export function findInstruction(bytes: Uint8Array): FoundInstruction | undefined {
  check.bytes('bytes', bytes)
  if (decodeInto(bytes, 0, bytes.length, MODE_32, insn) !== DECODED) return undefined
  const row = byForm.get(codeInfo(insn.code).form)
  // With a prefix, or an address of another kind than disp32 alone, the instruction has another length.
  if (row === undefined || insn.length !== row.length || insn.prefixes !== 0) return undefined
  if (insn.isMemory === 0 || insn.base >= 0 || insn.index >= 0) return undefined
  const address = insn.dispLo >>> 0
  if (address % PAGE_BYTES !== TPR_OFFSET) return undefined
  const register = insn.modrmOffset === 0 ? 0 : insn.reg
  return { row, register, address, bytes: bytes.slice(0, row.length) }
}

/**
 * Finds the instructions that may end where bytes end, the longest first.
 *
 * For a source that reports the address of the next instruction. Several may fit: each must be compared with the address
 * that was accessed.
 *
 * @param bytes - the ten bytes before the reported address, or fewer if unavailable
 */
export function findBackward(bytes: Uint8Array, access: TprAccess): FoundInstruction[] {
  check.bytes('bytes', bytes)
  const found: FoundInstruction[] = []
  for (const length of lengths) {
    if (length > bytes.length) continue
    const each = findInstruction(bytes.subarray(bytes.length - length))
    if (each !== undefined && each.row.length === length && each.row.access === access) found.push(each)
  }
  return found
}

/** The push that hands a helper its operand. */
function pushFor({ row, register, bytes }: FoundInstruction): readonly number[] {
  switch (row.pushes) {
    case 'nothing':
      return []
    case 'eax':
      return [PUSH_REGISTER]
    case 'register':
      return [PUSH_REGISTER + register]
    case 'immediate':
      return [PUSH_IMMEDIATE, ...bytes.subarray(row.length - 4)]
  }
}

/**
 * Returns the bytes that take an instruction's place.
 *
 * @param site - linear address of the instruction
 * @param handler - linear address of the helper
 */
export function patchFor(found: FoundInstruction, site: number, handler: number): Uint8Array {
  if (!tprInstructions.includes((found as FoundInstruction | undefined | null)?.row as TprInstruction)) {
    throw new VapicError('ERR_OPTION', `found is ${describeArgument(found)}: expected what findInstruction returns`)
  }
  checkAddress('site', site)
  checkAddress('handler', handler)
  const { length } = found.row
  const push = pushFor(found)
  const call = length - CALL_BYTES
  const patch = new Uint8Array(length).fill(NOP)
  patch.set(push, call - push.length)
  patch[call] = CALL
  // The displacement counts from behind the call, modulo 4 GiB.
  new DataView(patch.buffer).setInt32(call + 1, (handler - (site + length)) | 0, true)
  return patch
}
