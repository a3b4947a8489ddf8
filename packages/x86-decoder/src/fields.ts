/** The fields of printed lines that the syntaxes share: targets, immediates, displacements. */
import { OperandKind } from './kinds.ts'
import type { Field, LineWriter } from './line-writer.ts'
import { branchTarget, immediateHigh, immediateIsSigned, immediateLow, memoryAddress, targetBits } from './operands.ts'

/** A 64-bit address as a number, which is negative for the upper half; far from 0 it is not exact. */
const signedAddress = (address: bigint): number => Number(BigInt.asIntN(64, address))

/** Sums of numbers up to this, displacements and lengths are exact. */
const MAX_EXACT = 2 ** 52

const LARGEST_EXACT: bigint = /*#__PURE__*/ BigInt(Number.MAX_SAFE_INTEGER)

/** Writes an address, of which a number has the signed value. */
function writeAddress(out: LineWriter, address: number, bits: number): void {
  if (bits === 64) out.words(address | 0, Math.floor(address / 2 ** 32) | 0, 'address')
  else out.number(bits === 32 ? address >>> 0 : address & 0xffff, 'address')
}

/** Writes an address of any size. */
function writeExact(out: LineWriter, address: bigint): void {
  if (address <= LARGEST_EXACT) out.number(Number(address), 'address')
  else out.words(Number(BigInt.asIntN(32, address)), Number(BigInt.asIntN(32, address >> 32n)), 'address')
}

/** Writes a branch's target, or its symbol. */
export const targetField: Field = (out) => {
  const { insn, info, options } = out
  if (options.symbols !== undefined) {
    const target = branchTarget(insn, out.address)
    const symbol = options.symbols(target)
    if (symbol === undefined) writeExact(out, target)
    else out.add('symbol', symbol)
    return
  }
  const address = signedAddress(out.address)
  if (Math.abs(address) < MAX_EXACT && info.operands[0]!.kind !== OperandKind.ABS64)
    writeAddress(out, address + insn.length + insn.immLo, targetBits(insn, info))
  else writeExact(out, branchTarget(insn, out.address))
}

/** The selector of a far pointer. */
export const selectorField: Field = (out) => out.number(out.insn.imm2)

/** The offset of a far pointer. */
export const farOffsetField: Field = (out) => out.words(out.insn.immLo, 0, 'address')

/** The displacement after a base or index: `+0x10`. */
export const displacementField: Field = (out) => out.displacement(out.insn.dispLo, out.insn.dispHi)

/** A displacement that nothing stands before: `-0x8`. */
export const signedDisplacementField: Field = (out) => out.signedWords(out.insn.dispLo, out.insn.dispHi)

/** The symbol of the address that the instruction alone determines (absolute, RIP-relative). */
export function memorySymbol({ insn, options, address }: LineWriter): string | undefined {
  return options.symbols?.(memoryAddress(insn, address))
}

/** Writes an absolute address, or its symbol. */
export const absoluteField: Field = (out) => {
  const { insn } = out
  const symbol = out.options.symbols === undefined ? undefined : memorySymbol(out)
  if (symbol !== undefined) out.add('symbol', symbol)
  else if (insn.addressSize === 64) out.words(insn.dispLo, insn.dispHi, 'address')
  else out.number(insn.addressSize === 32 ? insn.dispLo >>> 0 : insn.dispLo & 0xffff, 'address')
}

function writeImmediate(out: LineWriter, position: number): void {
  const { insn } = out
  const kind = out.info.operands[position]!.kind
  const lo = immediateLow(insn, kind)
  const hi = immediateHigh(insn, kind)
  if (immediateIsSigned(kind)) out.signedWords(lo, hi)
  else out.words(lo, hi)
}

/** Immediates by the operand's position: `-0x8` where the form sign-extends. No instruction has more than five operands. */
export const immediateFields: readonly Field[] = [
  (out) => writeImmediate(out, 0),
  (out) => writeImmediate(out, 1),
  (out) => writeImmediate(out, 2),
  (out) => writeImmediate(out, 3),
  (out) => writeImmediate(out, 4),
]
