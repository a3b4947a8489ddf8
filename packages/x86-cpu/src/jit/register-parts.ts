import { I32 } from '@retrap/wasm-emitter'
import type { I64, LoadOp, StoreOp, Value } from '@retrap/wasm-emitter'

/** Parts of a register whose 64 bits are in a local, as loads and stores of its field in the state name them. */

/** What a load of integers reads at byte `at` of a 64-bit register. */
export function readPart(op: LoadOp, register: I64, at: number): Value {
  const value = at === 0 ? register : register.shrU(8 * at)
  switch (op) {
    case 'i64.load':
      return value
    case 'i64.load8_s':
      return value.extend8S()
    case 'i64.load8_u':
      return value.and(0xff)
    case 'i64.load16_s':
      return value.extend16S()
    case 'i64.load16_u':
      return value.and(0xffff)
    case 'i64.load32_s':
      return value.extend32S()
    case 'i64.load32_u':
      return value.and(0xffff_ffffn)
    case 'i32.load':
      return value.toI32()
    case 'i32.load8_u':
      return value.toI32().and(0xff)
    case 'i32.load16_u':
      return value.toI32().and(0xffff)
    default:
      throw new TypeError(`a register is not read by ${op}`)
  }
}

/** A store of an integer: its type's bits, and those that it writes if these are fewer. */
const INTEGER_STORE = /^i(\d+)\.store(\d*)/

/** A 64-bit register after a store of integers at its byte `at`. */
export function writePart(op: StoreOp, register: I64, given: Value, at: number): I64 {
  const value = given instanceof I32 ? given.toI64U() : (given as I64)
  const [, width, narrow] = INTEGER_STORE.exec(op) ?? []
  if (width === undefined) throw new TypeError(`a register is not written by ${op}`)
  const bits = Number(narrow || width)
  if (bits === 64) return value
  const shift = 8 * at
  const mask = (1n << BigInt(bits)) - 1n
  const kept = register.and(BigInt.asIntN(64, ~(mask << BigInt(shift))))
  return kept.or(value.and(mask).shl(shift))
}
