/**
 * The instructions that are patched: one table, which evaluating an instruction, looking backward from a report that comes
 * too late, and patching all read.
 *
 * Source: Intel SDM vol. 2, "MOV", "PUSH"; the kvmvapic option ROM's interface.
 */

/** Whether the task priority is read or written. */
export type TprAccess = 'read' | 'write'

/** What an instruction becomes calls one of these. `get` is one per register, in the order of their encoding. */
export type HandlerName = 'set' | 'setEax' | 'getStack' | 'get'

/** One row. */
export interface TprInstruction {
  readonly text: string
  readonly opcode: number
  /** ModRM.reg that makes it this instruction; -1: it names the register; -2: there is no ModRM byte. */
  readonly extension: number
  /** In bytes. */
  readonly length: number
  /** Where the address is. */
  readonly addressAt: number
  readonly access: TprAccess
  /** Bytes that go before the call; `r`: 50h plus the register; `imm32`: 68h and the immediate of the instruction. */
  readonly before: readonly (number | 'r' | 'imm32')[]
  readonly handler: HandlerName
}

const REGISTER = -1
const NO_MODRM = -2

/** The longest first: looking backward takes the first that fits. */
export const tprInstructions: readonly TprInstruction[] = [
  {
    text: 'mov dword [tpr], imm32',
    opcode: 0xc7,
    extension: 0,
    length: 10,
    addressAt: 2,
    access: 'write',
    before: ['imm32'],
    handler: 'set',
  },
  {
    text: 'mov [tpr], r32',
    opcode: 0x89,
    extension: REGISTER,
    length: 6,
    addressAt: 2,
    access: 'write',
    before: ['r'],
    handler: 'set',
  },
  {
    text: 'mov r32, [tpr]',
    opcode: 0x8b,
    extension: REGISTER,
    length: 6,
    addressAt: 2,
    access: 'read',
    before: [0x90],
    handler: 'get',
  },
  {
    text: 'push dword [tpr]',
    opcode: 0xff,
    extension: 6,
    length: 6,
    addressAt: 2,
    access: 'read',
    before: [0x50],
    handler: 'getStack',
  },
  {
    text: 'mov eax, [tpr]',
    opcode: 0xa1,
    extension: NO_MODRM,
    length: 5,
    addressAt: 1,
    access: 'read',
    before: [],
    handler: 'get',
  },
  {
    text: 'mov [tpr], eax',
    opcode: 0xa3,
    extension: NO_MODRM,
    length: 5,
    addressAt: 1,
    access: 'write',
    before: [],
    handler: 'setEax',
  },
]

/** Bytes of the longest. */
export const MAX_TPR_INSTRUCTION = 10

/** ModRM of an absolute address: mod 00, rm 101. */
const isAbsolute = (modrm: number): boolean => (modrm & 0xc7) === 5

/** An instruction that has been found. */
export interface FoundInstruction {
  readonly row: TprInstruction
  /** Register that is read or written: 0 (EAX) to 7 (EDI). */
  readonly register: number
  /** Linear address that it accesses. */
  readonly address: number
  /** As it is in memory. */
  readonly bytes: Uint8Array
}

/** Offset of the task priority register in the local APIC's page. */
const TPR_OFFSET = 0x80

/**
 * The row that bytes are, or undefined.
 *
 * @param bytes - from the first byte of the instruction on; too few are no instruction
 */
export function findInstruction(bytes: Uint8Array): FoundInstruction | undefined {
  const [opcode = -1, modrm = 0] = bytes
  for (const row of tprInstructions) {
    if (row.opcode !== opcode || bytes.length < row.length) continue
    const found = withRow(row, bytes, modrm)
    if (found !== undefined) return found
  }
  return undefined
}

function withRow(row: TprInstruction, bytes: Uint8Array, modrm: number): FoundInstruction | undefined {
  const hasModrm = row.extension !== NO_MODRM
  const reg = (modrm >> 3) & 7
  if (hasModrm && !isAbsolute(modrm)) return undefined
  if (row.extension >= 0 && row.extension !== reg) return undefined
  const address = word(bytes, row.addressAt)
  if ((address & 0xfff) !== TPR_OFFSET) return undefined
  return { row, register: row.extension === REGISTER ? reg : 0, address, bytes: bytes.slice(0, row.length) }
}

/**
 * The instructions that may end where `bytes` end, the longest first: for a source that reports the next instruction's
 * address. More than one may fit, so each must be held against the address that was accessed.
 *
 * @param bytes - the ten bytes before the reported address, or as many as there are
 */
export function findBackward(bytes: Uint8Array, access: TprAccess): FoundInstruction[] {
  return tprInstructions.flatMap((row) => {
    if (row.access !== access || bytes.length < row.length) return []
    const tail = bytes.subarray(bytes.length - row.length)
    if (tail[0] !== row.opcode) return []
    const found = withRow(row, tail, tail[1] as number)
    return found === undefined ? [] : [found]
  })
}

/**
 * The bytes that take an instruction's place: as long as it, with a call of a handler.
 *
 * @param site - linear address of the instruction
 * @param handler - linear address of the handler
 */
export function patchFor(found: FoundInstruction, site: number, handler: number): Uint8Array {
  const { row, register, bytes } = found
  const patch: number[] = row.before.flatMap((each) => {
    if (each === 'r') return [0x50 + register]
    if (each === 'imm32') return [0x68, ...bytes.subarray(6, 10)]
    return [each]
  })
  const displacement = handler - (site + patch.length + 5)
  patch.push(
    0xe8,
    displacement & 255,
    (displacement >> 8) & 255,
    (displacement >> 16) & 255,
    (displacement >> 24) & 255,
  )
  return Uint8Array.from(patch)
}

/** Four bytes, little-endian, unsigned. */
export function word(bytes: Uint8Array, at: number): number {
  const [a = 0, b = 0, c = 0, d = 0] = bytes.subarray(at, at + 4)
  return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0
}
