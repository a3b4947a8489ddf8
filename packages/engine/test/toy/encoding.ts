// The encoding of the toy instruction set: eight 64-bit registers, one result that conditional branches test, instructions of
// one to six bytes. The low four bits of the first byte are the operation; the second byte holds two register numbers.

/** Operations by number, with their length in bytes. The others are no instructions. */
export const OPERATIONS = [
  ['nop', 1],
  // rd = immediate, sign-extended from 32 bits.
  ['movi', 6],
  ['add', 2],
  ['sub', 2],
  ['xor', 2],
  // The only ALU operation that leaves the result alone.
  ['mul', 2],
  // rd = 32 bits at rs + displacement, sign-extended.
  ['load', 3],
  ['store', 3],
  // Branches if the result is zero, relative to the next instruction.
  ['bz', 2],
  ['jmp', 3],
  // Jumps to rs; a target with bit 63 set is left to the host, which raises an exception.
  ['jr', 2],
  // Repeats "rd += 1, rs -= 1" until rs is zero, interruptible after each iteration.
  ['count', 2],
  // Calls the host: `SYSTEM`.
  ['sys', 2],
  // rd = linear address of this instruction + a 16-bit displacement.
  ['adr', 4],
  // rd += rs, plus 1 if the result is zero: reads the result, and sets it.
  ['addz', 2],
  // r6 = program counter of the next instruction; jumps, relative to it. Bits 5:4 of the first byte are 1.
  ['call', 3],
] as const

export type Operation = (typeof OPERATIONS)[number][0]

/** The number of `call`, and the bits that tell it from bytes that are no instruction. */
const CALL = 15
const CALL_BITS = 0x10

/** The register that `call` writes; `jr` by it is a return. */
export const LINK_REGISTER = 6

export const LONGEST_BYTES = 6

/** What `sys` does, by its second byte modulo 8. The two last numbers are for instructions that raise exceptions. */
export const SYSTEM = {
  halt: 0,
  increment: 1,
  go: 2,
  trap: 3,
  mode: 4,
  attention: 5,
  remap: 6,
  dma: 7,
  badJump: 8,
  undefined: 9,
} as const

/** The operation of a first byte. In mode 1, ADD and SUB have changed places. */
export function operationOf(byte: number, mode: number): readonly [name: Operation, length: number] | undefined {
  const number = byte & 15
  if (number === CALL && (byte & 0x30) !== CALL_BITS) return undefined
  return OPERATIONS[mode === 1 && (number === 2 || number === 3) ? 5 - number : number]
}

/** An instruction for {@link encode}. */
export interface Source {
  readonly op: Operation
  readonly rd?: number
  readonly rs?: number
  /** Immediate, displacement, or number of `sys`. */
  readonly value?: number
}

/** Encodes instructions one after another. */
export function encode(sources: readonly Source[]): Uint8Array {
  const bytes: number[] = []
  for (const { op, rd = 0, rs = 0, value = 0 } of sources) {
    const number = OPERATIONS.findIndex(([name]) => name === op)
    const size = OPERATIONS[number]![1]
    const at = bytes.length
    bytes.push(number === CALL ? number | CALL_BITS : number)
    const registers = rd | (rs << 3)
    if (op === 'bz' || op === 'sys') bytes.push(value & 0xff)
    else if (op === 'jmp' || op === 'call') bytes.push(value & 0xff, (value >> 8) & 0xff)
    else if (size > 1) {
      bytes.push(registers)
      for (let i = 0; bytes.length < at + size; i += 8) bytes.push((value >> i) & 0xff)
    }
  }
  return Uint8Array.from(bytes)
}
