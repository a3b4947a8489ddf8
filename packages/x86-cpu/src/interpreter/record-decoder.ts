import type { MachineMemory } from '@retrap/memory'
import type { RecordDecoder } from '@retrap/engine'
import { DECODED, DECODE_NO_APX, Instruction, REASON_TOO_LONG, TRUNCATED, decodeInto } from '@retrap/x86-decoder'
import type { Lowering } from './lower.ts'
import { OP_SYSTEM, RECORD_BYTES, R_FUNCTION, R_LENGTH, R_OFFSET, R_OP } from '../state/record.ts'
import { MODE_16_EDGE, MODE_32, MODE_64, MODE_64_APX } from '../state/state-layout.ts'

/** Bytes of the longest instruction (SDM vol. 2A, "Instruction Format"). */
const LONGEST = 15

/** Indices of the handlers that raise the exceptions of bytes that are no instruction. */
export interface ExceptionHandlers {
  /** Raises #UD. */
  readonly undefined: number
  /** Raises #GP: more than 15 bytes. */
  readonly tooLong: number
}

/** Decodes x86 instructions and lowers them to records. */
export class X86RecordDecoder implements RecordDecoder {
  readonly modes = 5
  readonly longestBytes: number = LONGEST
  endsRun = false
  isFarBranch = false
  extentBytes = 0
  readonly #memory: MachineMemory
  readonly #lowering: Lowering
  readonly #handlers: ExceptionHandlers
  readonly #options: number
  readonly #insn = new Instruction()

  /** @param options - option bits of `decodeInto`: what bytes mean to the engine's processor */
  constructor(memory: MachineMemory, lowering: Lowering, handlers: ExceptionHandlers, options: number) {
    this.#memory = memory
    this.#lowering = lowering
    this.#handlers = handlers
    this.#options = options
  }

  decode(bytes: Uint8Array, start: number, end: number, mode: number, record: number, offset: number): number {
    const insn = this.#insn
    const bits = mode === MODE_32 ? 32 : (mode & MODE_64) !== 0 ? 64 : 16
    const status = decodeInto(
      bytes,
      start,
      end,
      bits | this.#options | (mode === MODE_64_APX ? 0 : DECODE_NO_APX),
      insn,
    )
    if (status === DECODED) {
      const form = this.#lowering.write(record, insn, offset, mode === MODE_16_EDGE)
      this.endsRun = form.endsRun
      this.isFarBranch = form.isFarBranch
      this.extentBytes = insn.length
      return insn.length
    }
    this.#writeException(record, offset)
    this.endsRun = true
    this.isFarBranch = false
    this.extentBytes = LONGEST
    return status === TRUNCATED ? 0 : 1
  }

  #writeException(at: number, offset: number): void {
    const { u8, u16, u32 } = this.#memory
    u32.fill(0, at >>> 2, (at + RECORD_BYTES) >>> 2)
    u16[(at + R_OP) >>> 1] = OP_SYSTEM
    u16[(at + R_OFFSET) >>> 1] = offset
    u16[(at + R_FUNCTION) >>> 1] =
      this.#insn.reason === REASON_TOO_LONG ? this.#handlers.tooLong : this.#handlers.undefined
    u8[at + R_LENGTH] = 1
  }
}
