import type { MachineMemory } from '@retrap/memory'
import { OP_SYSTEM, RECORD_BYTES, R_FUNCTION, R_LENGTH, R_OFFSET, R_OP } from '../../src/index.ts'
import type { FormCode, RecordDecoder } from '../../src/index.ts'
import { LONGEST_BYTES, SYSTEM, operationOf, type Operation } from './encoding.ts'
import { S_REGISTERS } from './state.ts'

/** Fields of the toy's records: state offsets of the registers, and an immediate of 64 bits. */
export const R_RD = 8
export const R_RS = 10
export const R_IMMEDIATE = 24

/** Where a branch with a fixed target leads. */
export type Target = 'forward' | 'back' | 'far'

/** An operation; of branches with a fixed target, one for each kind of target. */
export interface ToyForm {
  readonly op: Operation
  readonly target?: Target
}

export function formKey({ op, target }: ToyForm): string {
  return target === undefined ? op : `${op} ${target}`
}

/** Decodes the toy's instructions: two modes, lengths of one to six bytes. */
export class ToyDecoder implements RecordDecoder {
  readonly modes = 2
  readonly longestBytes: number = LONGEST_BYTES
  endsRun = false
  extentBytes = 0
  readonly #memory: MachineMemory
  readonly #codes: ReadonlyMap<string, FormCode>

  constructor(memory: MachineMemory, codes: ReadonlyMap<string, FormCode>) {
    this.#memory = memory
    this.#codes = codes
  }

  decode(bytes: Uint8Array, start: number, end: number, mode: number, record: number, offset: number): number {
    const { u8, u16, u32 } = this.#memory
    const [op, length] = operationOf(bytes[start]!, mode) ?? [undefined, 1]
    if (start + length > end) return 0
    this.endsRun = op === undefined || op === 'jmp' || op === 'jr'
    this.extentBytes = length
    u32.fill(0, record >>> 2, (record + RECORD_BYTES) >>> 2)
    u16[(record + R_OFFSET) >>> 1] = offset
    u8[record + R_LENGTH] = length
    if (op === undefined || op === 'sys') {
      u16[(record + R_OP) >>> 1] = OP_SYSTEM
      u16[(record + R_FUNCTION) >>> 1] = op === undefined ? SYSTEM.undefined : bytes[start + 1]! & 7
      return length
    }
    const registers = length > 1 ? bytes[start + 1]! : 0
    u16[(record + R_RD) >>> 1] = S_REGISTERS + 8 * (registers & 7)
    u16[(record + R_RS) >>> 1] = S_REGISTERS + 8 * ((registers >> 3) & 7)
    let immediate = displacement(op, bytes, start)
    let target: Target | undefined
    if (op === 'bz' || op === 'jmp' || op === 'call') {
      immediate += offset + length
      target = immediate < 0 || immediate >= 0x1000 ? 'far' : immediate > offset ? 'forward' : 'back'
      if (target !== 'far') immediate <<= 2
    }
    const { op: dispatch, fn } = this.#codes.get(formKey(target === undefined ? { op } : { op, target }))!
    u16[(record + R_OP) >>> 1] = dispatch
    u16[(record + R_FUNCTION) >>> 1] = fn
    u32[(record + R_IMMEDIATE) >>> 2] = immediate
    u32[(record + R_IMMEDIATE + 4) >>> 2] = immediate >> 31
    return length
  }
}

/** The signed displacement or immediate of an operation. */
function displacement(op: Operation, bytes: Uint8Array, start: number): number {
  const byte = (i: number): number => bytes[start + i]!
  switch (op) {
    case 'bz':
      return (byte(1) << 24) >> 24
    case 'jmp':
    case 'call':
      return ((byte(1) | (byte(2) << 8)) << 16) >> 16
    case 'load':
    case 'store':
      return (byte(2) << 24) >> 24
    case 'adr':
      return ((byte(2) | (byte(3) << 8)) << 16) >> 16
    case 'movi':
      return byte(2) | (byte(3) << 8) | (byte(4) << 16) | (byte(5) << 24)
    default:
      return 0
  }
}
