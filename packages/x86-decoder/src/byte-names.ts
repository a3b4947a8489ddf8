/** Names of registers as bytes, by class and number. */
import { OperandKind, REGISTER_HIGH_BYTE } from './kinds.ts'
import { registerName } from './registers.ts'

/** Classes of registers whose number alone says the name. */
export const NAMES_LOW_BYTE = 0
/** Byte registers without REX: 4 to 7 are AH to BH. */
export const NAMES_BYTE = 1
export const NAMES_WORD = 2
export const NAMES_DWORD = 3
export const NAMES_QWORD = 4
export const NAMES_MMX = 5
export const NAMES_XMM = 6
export const NAMES_YMM = 7
export const NAMES_ZMM = 8
/** How many classes there are. */
export const NAME_CLASSES = 9

const REGISTERS = 32
/** A name has at most five letters; its length is in the last byte of its place. */
export const NAME_BYTES = 8
export const NAME_LENGTH = 7
export const CLASS_BYTES: number = REGISTERS * NAME_BYTES

/** All names; that of register `r` of class `c` is at `c * CLASS_BYTES + r * NAME_BYTES`. */
export function makeNames(): Uint8Array {
  // Kind and size of an operand of each class.
  const classes: readonly (readonly [OperandKind, number])[] = [
    [OperandKind.REG, 1],
    [OperandKind.REG, 1],
    [OperandKind.REG, 2],
    [OperandKind.REG, 4],
    [OperandKind.REG, 8],
    [OperandKind.MMX_REG, 8],
    [OperandKind.XMM_REG, 16],
    [OperandKind.XMM_REG, 32],
    [OperandKind.XMM_REG, 64],
  ]
  const names = new Uint8Array(NAME_CLASSES * CLASS_BYTES)
  for (let at = 0; at < names.length; at += NAME_BYTES) {
    const nameClass = Math.floor(at / CLASS_BYTES)
    const register = (at / NAME_BYTES) % REGISTERS
    const [kind, size] = classes[nameClass]!
    const isHigh = nameClass === NAMES_BYTE && register >= 4 && register < 8
    const name = registerName(kind, size, isHigh ? register | REGISTER_HIGH_BYTE : register)
    for (let i = 0; i < name.length; i++) names[at + i] = name.charCodeAt(i)
    names[at + NAME_LENGTH] = name.length
  }
  return names
}
