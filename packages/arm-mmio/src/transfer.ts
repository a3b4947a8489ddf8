/** Moves data between registers and the bytes of an instruction's elements. */
import { InstructionSet, type LoadStore } from '@retrap/arm-decoder'
import { readR, readX, RegisterValue, vectorOffset, writeR, writeX } from './registers.ts'
import type { ArmVcpu } from './vcpu.ts'

/** Most bytes that one instruction transfers: 16 quadwords (LDM has 16 words, ST4 64 bytes, DC ZVA 2048). */
export const MAX_TRANSFER = 2048

const value: RegisterValue = /*#__PURE__*/ new RegisterValue()

/** Stores a little-endian value's low `size` bytes, or, big-endian, in the other order. */
export function putValue(data: Uint8Array, at: number, size: number, lo: number, hi: number, bigEndian: boolean): void {
  for (let i = 0; i < size; i++) {
    const byte = i < 4 ? lo >>> (i * 8) : i < 8 ? hi >>> ((i - 4) * 8) : 0
    data[at + (bigEndian ? size - 1 - i : i)] = byte
  }
}

/** Returns the word at byte `from` (0 or 4) of an element, in a register's byte order. */
export function getWord(data: Uint8Array, at: number, size: number, from: number, bigEndian: boolean): number {
  let word = 0
  for (let i = Math.min(size, from + 4) - 1; i >= from; i--) {
    word = (word << 8) | data[at + (bigEndian ? size - 1 - i : i)]!
  }
  return word >>> 0
}

/** Copies bytes of a SIMD&FP register, reversed if big-endian. */
function copyBytes(
  from: Uint8Array,
  fromAt: number,
  to: Uint8Array,
  toAt: number,
  size: number,
  bigEndian: boolean,
): void {
  for (let i = 0; i < size; i++) to[toAt + i] = from[fromAt + (bigEndian ? size - 1 - i : i)]!
}

/** Register of element `index` in a pair, or the n-th of a list. */
function elementRegister(insn: LoadStore, index: number): number {
  if (insn.list !== 0) return nthBit(insn.list, index)
  return index === 0 ? insn.rt : insn.rt2
}

/** Number of the n-th bit that is set. */
function nthBit(list: number, n: number): number {
  let rest = list
  for (let i = 0; i < n; i++) rest &= rest - 1
  return 31 - Math.clz32(rest & -rest)
}

/**
 * Where element `index` of a SIMD&FP transfer is in the register file, in bytes.
 *
 * Structures interleave their registers; sequences and transfers of whole registers do not.
 */
function vectorElement(insn: LoadStore, index: number): number {
  const { elementSize, registerSize, form } = insn
  const { attributes, registers } = form
  if (registers === 0) {
    if (attributes.has('vectors')) return vectorOffset(insn, insn.rt, registerSize) + index * registerSize
    return vectorOffset(insn, index === 0 ? insn.rt : insn.rt2, registerSize)
  }
  if (insn.lane >= 0 || attributes.has('replicate')) {
    const lane = insn.lane < 0 ? 0 : insn.lane
    return vectorOffset(insn, insn.rt + index * insn.step, 8) + lane * elementSize
  }
  const lanes = registerSize / elementSize
  if (attributes.has('sequence')) {
    return vectorOffset(insn, insn.rt + Math.floor(index / lanes), 8) + (index % lanes) * elementSize
  }
  // VLD2 of two pairs: the second half of the elements is in the registers that follow.
  if (attributes.has('doubled')) {
    const member = index % registers
    const lane = Math.floor(index / registers)
    const register = insn.rt + member * 2 + Math.floor(lane / lanes)
    return vectorOffset(insn, register, 8) + (lane % lanes) * elementSize
  }
  const register = insn.rt + (index % registers) * insn.step
  return vectorOffset(insn, register, 8) + Math.floor(index / registers) * elementSize
}

/** Fills `data` with the stored elements in memory order. */
export function gatherStore(vcpu: ArmVcpu, insn: LoadStore, data: Uint8Array, bigEndian: boolean): void {
  const { elementSize, elements, set } = insn
  if (insn.vector) {
    const file = new Uint8Array(vcpu.v.buffer, vcpu.v.byteOffset, vcpu.v.byteLength)
    for (let i = 0; i < elements; i++) {
      copyBytes(file, vectorElement(insn, i), data, i * elementSize, elementSize, bigEndian)
    }
    return
  }
  const user = insn.form.attributes.has('user')
  for (let i = 0; i < elements; i++) {
    const number = elementRegister(insn, i)
    if (set === InstructionSet.A64) readX(vcpu, number, false, value)
    else {
      value.lo = readR(vcpu, set, number, user)
      value.hi = 0
    }
    putValue(data, i * elementSize, elementSize, value.lo, value.hi, bigEndian)
  }
}

/** Extends a loaded element for its register. */
function loadedValue(insn: LoadStore, data: Uint8Array, at: number, bigEndian: boolean): void {
  const { elementSize } = insn
  value.lo = getWord(data, at, elementSize, 0, bigEndian)
  value.hi = elementSize > 4 ? getWord(data, at, elementSize, 4, bigEndian) : 0
  if (!insn.form.attributes.has('sx')) return
  const shift = 32 - Math.min(elementSize, 4) * 8
  const signed = (value.lo << shift) >> shift
  value.lo = signed >>> 0
  // A 32-bit register's upper half is 0.
  value.hi = insn.registerSize === 8 && signed < 0 ? 0xffff_ffff : 0
}

/** Writes loaded data to registers, except PC. */
export function scatterLoad(vcpu: ArmVcpu, insn: LoadStore, data: Uint8Array, bigEndian: boolean): void {
  const { elementSize, elements, set } = insn
  if (insn.vector) {
    scatterVector(vcpu, insn, data, bigEndian)
    return
  }
  const user = insn.form.attributes.has('user')
  for (let i = 0; i < elements; i++) {
    const number = elementRegister(insn, i)
    loadedValue(insn, data, i * elementSize, bigEndian)
    if (set === InstructionSet.A64) writeX(vcpu, number, false, value.lo, value.hi)
    else if (number !== 15) writeR(vcpu, number, value.lo, user)
  }
}

/** Returns a load's value for PC; -1 if PC is not loaded. */
export function loadedPc(insn: LoadStore, data: Uint8Array, bigEndian: boolean): number {
  if (insn.set === InstructionSet.A64 || insn.vector) return -1
  for (let i = 0; i < insn.elements; i++) {
    if (elementRegister(insn, i) === 15) return getWord(data, i * insn.elementSize, insn.elementSize, 0, bigEndian)
  }
  return -1
}

function scatterVector(vcpu: ArmVcpu, insn: LoadStore, data: Uint8Array, bigEndian: boolean): void {
  const { elementSize, elements, form, registerSize } = insn
  const file = new Uint8Array(vcpu.v.buffer, vcpu.v.byteOffset, vcpu.v.byteLength)
  const replicate = form.attributes.has('replicate')
  if (insn.lane < 0) clearVectors(insn, file)
  for (let i = 0; i < elements; i++) {
    const at = vectorElement(insn, i)
    const copies = replicate ? registerSize / elementSize : 1
    for (let copy = 0; copy < copies; copy++) {
      copyBytes(data, i * elementSize, file, at + copy * elementSize, elementSize, bigEndian)
      // VLD1 to all lanes of two registers.
      if (replicate && form.registers === 1 && insn.list === 2) {
        copyBytes(data, i * elementSize, file, at + 8 + copy * elementSize, elementSize, bigEndian)
      }
    }
  }
}

/** A64 clears a vector register above the loaded bytes; A32 clears a single register above a half. */
function clearVectors(insn: LoadStore, file: Uint8Array): void {
  const { form, registerSize } = insn
  if (insn.set !== InstructionSet.A64) {
    if (registerSize < 4) file.fill(0, vectorOffset(insn, insn.rt, 2), vectorOffset(insn, insn.rt, 2) + 4)
    return
  }
  const count = form.registers === 0 ? insn.elements : insn.list
  for (let i = 0; i < count; i++) {
    const number = form.registers === 0 && i === 1 ? insn.rt2 : insn.rt + i
    const at = vectorOffset(insn, number, 16)
    file.fill(0, at + registerSize, at + 16)
  }
}
