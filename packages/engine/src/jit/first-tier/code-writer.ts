import { ByteWriter } from '@retrap/wasm-emitter'

// Instructions by their first bytes ("Instructions", WebAssembly core specification 5.4).
export const BLOCK = 0x02
export const LOOP = 0x03
export const IF = 0x04
export const END = 0x0b
export const BR = 0x0c
export const RETURN = 0x0f
export const SELECT = 0x1b
export const I64_CONST = 0x42
export const I32_EQ = 0x46
export const I32_NE = 0x47
export const I32_LE_S = 0x4c
export const I64_EQ = 0x51
export const I64_NE = 0x52
export const I32_ADD = 0x6a
export const I32_SUB = 0x6b
export const I32_AND = 0x71
export const I32_OR = 0x72
export const I32_SHL = 0x74
export const I32_SHR_U = 0x76
export const I64_ADD = 0x7c
export const I64_SUB = 0x7d
export const I64_AND = 0x83
export const I32_WRAP_I64 = 0xa7
export const I32_LOAD = 0x28
export const I64_LOAD = 0x29
export const I32_LOAD16_U = 0x2f
export const I64_LOAD32_S = 0x34
export const I32_STORE = 0x36
export const I64_STORE = 0x37
export const I32_STORE8 = 0x3a

const BR_TABLE = 0x0e
const CALL = 0x10
const CALL_INDIRECT = 0x11
const RETURN_CALL_INDIRECT = 0x13
const LOCAL_GET = 0x20
const LOCAL_SET = 0x21
const LOCAL_TEE = 0x22
const I32_CONST = 0x41
const VOID = 0x40

/** Writes a function's instructions one after the other, without objects for values. */
export class CodeWriter extends ByteWriter {
  /** The value of a local. */
  get(local: number): void {
    this.u8(LOCAL_GET)
    this.leb(local)
  }

  /** Takes a local's value from the stack. */
  set(local: number): void {
    this.u8(LOCAL_SET)
    this.leb(local)
  }

  /** The same; the value stays on the stack. */
  tee(local: number): void {
    this.u8(LOCAL_TEE)
    this.leb(local)
  }

  /** A constant of 32 bits. */
  i32(value: number): void {
    this.u8(I32_CONST)
    this.leb32(value)
  }

  /** A constant of 64 bits. @param value - of 32, with a sign */
  i64(value: number): void {
    this.u8(I64_CONST)
    // The encoding of a number does not depend on its width.
    this.leb32(value)
  }

  /** A load or store. @param op - its first byte */
  access(op: number, offset: number): void {
    this.u8(op)
    this.u8(0)
    this.leb(offset)
  }

  /** Begins a block, loop or arm without operands. */
  begin(op: number): void {
    this.u8(op)
    this.u8(VOID)
  }

  /** A branch. @param depth - blocks between it and the one that it leads to */
  br(depth: number): void {
    this.u8(BR)
    this.leb(depth)
  }

  /** Goes to one of some blocks by the number on the stack; others go to the first. */
  brTable(depths: readonly number[]): void {
    this.u8(BR_TABLE)
    this.leb(depths.length)
    for (const depth of depths) this.leb(depth)
    this.leb(depths[0]!)
  }

  /** A call of a function of the module, by its index. */
  call(index: number): void {
    this.u8(CALL)
    this.leb(index)
  }

  /** A call of the entry of the table whose number is on the stack. @param type - index of its type */
  callIndirect(type: number): void {
    this.u8(CALL_INDIRECT)
    this.leb(type)
    this.u8(0)
  }

  /** The same; its result becomes the function's. */
  returnCallIndirect(type: number): void {
    this.u8(RETURN_CALL_INDIRECT)
    this.leb(type)
    this.u8(0)
  }
}
