/** The prefixes VEX, XOP and EVEX. */
import { addressBitsOf, defaultSegment, encodeAddress, type AddressEncoding } from './address.ts'
import { AssemblerError } from './checks.ts'
import { fitsEither, pushValue, type Encoding, type Fixup } from './fixups.ts'
import type { Form } from './form.ts'
import type { LabelExpression } from './labels.ts'
import { matchForm, type Fields } from './match.ts'
import type { Operand } from './operands.ts'
import { allowsEncoding, prefixBytes, type InstructionPrefixes } from './prefixes.ts'

/** The settings for encoding an instruction, besides its operands. */
export interface EncodeContext {
  readonly bits: 16 | 32 | 64
  readonly prefixes: InstructionPrefixes
}

/** A form encoded with its operands. */
export interface EncodedForm extends Encoding {
  readonly bytes: number[]
  /** Memory size of the form, if the operand stated none and the size matters; otherwise 0. */
  readonly guessedSize: number
  /** Bytes of immediates, which decide between forms of one length. */
  readonly immediateBytes: number
}

const PREFIX_OF_SEGMENT = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]
const SEGMENT_CS = 1
const SEGMENT_DS = 3
const CS_IS_FAR = 'mov: cs cannot be loaded; a far jump, call or return does that'

const NUMBER_SP = 4
/** EVEX map 4: legacy instructions. */
const MAP_APX = 4

/** 0F 0F: the opcode stands after the operands. */
const MAP_3DNOW = 4

const is3dNow = ({ map, encoding }: Form): boolean => map === MAP_3DNOW && encoding === 'legacy'

/**
 * Encodes one form with the operands given.
 *
 * @returns the encoding; undefined where the form does not take operands of these kinds; an error, not thrown, where the
 * kinds are right but a value is not and another form may do
 * @throws AssemblerError where no form can hold the operand, or a prefix cannot be had
 */
export function encodeForm(
  form: Form,
  operands: readonly Operand[],
  context: EncodeContext,
): EncodedForm | (() => AssemblerError) | undefined {
  const { bits, prefixes } = context
  if (form.sizing[bits] === undefined || !allowsEncoding(form, prefixes.encoding)) return undefined
  if (prefixes.operandSize !== 0 && form.operandSize !== prefixes.operandSize) return undefined
  const fields = matchForm(form, operands, bits)
  if (fields === undefined) return undefined
  if (prefixes.noFlags && form.noFlags === 'never') {
    return () => new AssemblerError('ERR_PREFIX', `${form.mnemonic} has no such form that leaves the flags alone`)
  }
  // MOV to CS is no instruction (SDM vol. 2B, MOV).
  const [first] = form.slots
  if (form.mnemonic === 'MOV' && first?.kind === 'register' && first.class === 'segment') {
    if (fields.reg === SEGMENT_CS) return () => new AssemblerError('ERR_OPERAND', CS_IS_FAR)
  }
  // 90 is NOP and not XCHG of the accumulator with itself, which in 64-bit mode would clear its upper half.
  if (form.map === 0 && form.opcode === 0x90 && form.mnemonic === 'XCHG' && fields.opcodeReg === 0) {
    return undefined
  }
  if (form.distinct && hasClash(form, fields)) {
    return () => new AssemblerError('ERR_OPERAND', `${form.mnemonic.toLowerCase()}: its registers must differ`)
  }
  if (form.noStackPointer && (fields.vvvv === NUMBER_SP || fields.rm === NUMBER_SP)) return undefined
  return fields.problem ?? emit(form, fields, context)
}

/** Registers that must differ are the same: of a gather, of a product of tiles, of a product of complex numbers. */
function hasClash(form: Form, { reg, rm, vvvv, memory }: Fields): boolean {
  const index = memory === undefined ? rm : memory.index?.number
  if (form.map === MAP_APX && form.encoding === 'evex') return vvvv === rm
  const isGather = form.slots.some((slot) => slot.kind === 'memory' && slot.index !== undefined)
  if (form.encoding !== 'evex') return index === reg || index === vvvv || reg === vvvv
  // A gather of AVX-512 has its mask in EVEX.aaa; a factor in memory is no register.
  return isGather ? index === reg : reg === vvvv || (memory === undefined && reg === rm)
}

/** Prefixes, REX or VEX, opcode, ModRM, SIB, displacement, immediates: SDM vol. 2A, "Instruction Format". */
function emit(form: Form, fields: Fields, context: EncodeContext): EncodedForm | undefined {
  const { bits, prefixes } = context
  const memory = fields.memory
  const addressed = memory ?? fields.moffs ?? fields.implied
  const fixups: WaitingFixup[] = []

  let addressBits: 16 | 32 | 64 = bits
  if (addressed !== undefined) addressBits = addressBitsOf(addressed, bits)
  else if (form.addressSize !== 0) addressBits = form.addressSize
  else if (prefixes.addressSize !== 0) addressBits = prefixes.addressSize
  if (form.addressSize !== 0 && form.addressSize !== addressBits) return undefined

  const bytes = prefixBytes(form, memory !== undefined || fields.moffs !== undefined, prefixes)
  const segment = addressed?.segment
  if (segment !== undefined && addressed !== undefined) {
    const usual = memory === undefined ? SEGMENT_DS : defaultSegment(memory)
    if (segment.number !== usual) bytes.push(PREFIX_OF_SEGMENT[segment.number] ?? 0)
  }
  if (addressBits !== bits) bytes.push(0x67)

  const dispScale = fields.broadcast ? form.broadcast : form.disp8Scale
  const address = memory === undefined ? undefined : encodeAddress(memory, bits, addressBits, form.sib, dispScale)
  if (form.noRip && address?.ripRelative === true) return undefined
  if (!emitOpcode(form, fields, address, context, bytes)) return undefined

  if (address !== undefined) {
    bytes.push((address.mod << 6) | ((fields.reg & 7) << 3) | address.rm)
    if (address.sib >= 0) bytes.push(address.sib)
    if (address.dispBytes !== 0) {
      const narrow = address.dispBytes * 8 < addressBits
      fieldInto(bytes, fixups, {
        kind: address.ripRelative ? 'relative' : narrow ? 'signed' : 'absolute',
        size: address.dispBytes,
        value: address.disp,
        scale: address.dispBytes === 1 ? address.dispScale : 1,
        addressBits: address.ripRelative ? 64 : addressBits,
      })
    }
  } else if (form.modrm) {
    bytes.push(form.modrmByte >= 0 ? form.modrmByte : 0xc0 | ((fields.reg & 7) << 3) | (fields.rm & 7))
  }
  if (fields.moffs !== undefined) {
    const size = addressBits === 16 ? 2 : addressBits === 32 ? 4 : 8
    const { disp } = fields.moffs
    if (typeof disp === 'bigint' && !fitsEither(disp, size * 8)) return undefined
    if (fields.moffs.dispBits !== 0 && fields.moffs.dispBits !== size * 8) return undefined
    fieldInto(bytes, fixups, { kind: 'absolute', size, value: disp, scale: 1, addressBits })
  }
  let immediateBytes = 0
  for (const { kind, size, value, extendTo } of fields.trailers) {
    const wraps = form.operandSize === 16 ? 16 : bits === 64 ? 64 : 32
    fieldInto(bytes, fixups, { kind, size, value, scale: 1, addressBits: kind === 'relative' ? wraps : extendTo })
    immediateBytes += size
  }
  if (is3dNow(form)) bytes.push(form.opcode)
  if (bytes.length > 15) {
    throw new AssemblerError('ERR_OPERAND', `${form.mnemonic}: longer than 15 bytes`)
  }
  // Distances count from the end of the instruction, which is known only now.
  for (const fixup of fixups) fixup.origin = bytes.length
  return { bytes, fixups, guessedSize: fields.guessedSize, immediateBytes }
}

/** A fixup of which the end of the instruction is not known yet. */
type WaitingFixup = { -readonly [Key in keyof Fixup]: Fixup[Key] }

function fieldInto(
  bytes: number[],
  fixups: WaitingFixup[],
  field: {
    readonly kind: 'absolute' | 'signed' | 'relative'
    readonly size: 1 | 2 | 4 | 8
    readonly value: bigint | LabelExpression
    readonly scale: number
    readonly addressBits: 16 | 32 | 64
  },
): void {
  if (field.kind !== 'relative' && typeof field.value === 'bigint') {
    const { value, scale } = field
    pushValue(bytes, scale === 1 ? value : BigInt.asIntN(field.addressBits, value) / BigInt(scale), field.size)
    return
  }
  fixups.push({ ...field, offset: bytes.length, origin: 0 })
  for (let index = 0; index < field.size; index++) bytes.push(0)
}

/** Size and mandatory prefixes, REX or VEX, and the opcode. False: the form cannot be had with these registers. */
function emitOpcode(
  form: Form,
  fields: Fields,
  address: AddressEncoding | undefined,
  context: EncodeContext,
  bytes: number[],
): boolean {
  const { bits, prefixes } = context
  const w = form.vexW || form.sizing[bits] === 'w'
  const opcode = form.opcode | (fields.opcodeReg & 7)
  const x = address === undefined ? 0 : address.index
  const b = address === undefined ? fields.rm | fields.opcodeReg : address.base
  if (form.encoding !== 'legacy' && form.encoding !== 'rex2') {
    if (fields.forbidsRex) return false
    if (form.encoding !== 'evex' && (x | b) > 15 && address?.isVectorIndex !== true) return false
    if (form.encoding === 'evex')
      pushEvex(bytes, form, fields, address, { w, size16: form.sizing[bits] === '66', noFlags: prefixes.noFlags })
    else pushVex(bytes, form, fields, { w, x: (x >> 3) & 1, b: (b >> 3) & 1 }, prefixes.encoding === 'vex3')
    bytes.push(opcode)
    return true
  }
  return emitLegacy(form, fields, { w, x, b, opcode }, context, bytes)
}

/** Size and mandatory prefixes, REX or REX2, the escape of the map and the opcode. */
function emitLegacy(
  form: Form,
  fields: Fields,
  { w, x, b, opcode }: { readonly w: boolean; readonly x: number; readonly b: number; readonly opcode: number },
  { bits, prefixes }: EncodeContext,
  bytes: number[],
): boolean {
  if (form.sizing[bits] === '66' && form.prefix !== 0x66) bytes.push(0x66)
  if (form.prefix !== 0) bytes.push(form.prefix)
  const low = ((fields.reg >> 1) & 4) | ((x >> 2) & 2) | ((b >> 3) & 1)
  const rex = (w ? 8 : 0) | low
  if ((fields.reg | x | b) > 15 || prefixes.encoding === 'rex2' || form.encoding === 'rex2') {
    if (bits !== 64 || fields.forbidsRex || !form.rex2) return false
    const high = ((fields.reg << 2) & 0x40) | ((x << 1) & 0x20) | (b & 0x10)
    // REX2.W distinguishes PUSHP and POPP from PUSH and POP.
    const pair = form.encoding === 'rex2' && form.opcodeRegister ? 8 : 0
    bytes.push(0xd5, (form.map << 7) | high | rex | pair, opcode)
    return true
  }
  if (rex !== 0 || fields.needsRex || prefixes.encoding === 'rex') {
    if (bits !== 64) return false
    if (fields.forbidsRex) {
      throw new AssemblerError('ERR_OPERAND', `${form.mnemonic}: AH, BH, CH and DH cannot stand beside a REX prefix`)
    }
    bytes.push(0x40 | rex)
  }
  if (form.map !== 0) bytes.push(0x0f)
  if (form.map === 2) bytes.push(0x38)
  else if (form.map === 3) bytes.push(0x3a)
  bytes.push(is3dNow(form) ? 0x0f : opcode)
  return true
}

/** VEX.pp: the prefix that another encoding would have. */
function simdPrefix(form: Form): number {
  return form.prefix === 0x66 ? 1 : form.prefix === 0xf3 ? 2 : form.prefix === 0xf2 ? 3 : 0
}

/**
 * VEX of two or three bytes, or XOP. Its register bits are inverted.
 *
 * Source: Intel SDM vol. 2A, "Instruction Encoding Using VEX Prefix"; AMD APM vol. 6, "XOP Prefix".
 */
function pushVex(
  bytes: number[],
  form: Form,
  fields: Fields,
  { w, x, b }: { readonly w: boolean; readonly x: number; readonly b: number },
  long: boolean,
): void {
  const r = (fields.reg >> 3) & 1
  const low = ((~fields.vvvv & 15) << 3) | (Math.max(form.vexL, 0) << 2) | simdPrefix(form)
  // The two-byte prefix has R alone and map 0F.
  if (form.encoding === 'vex' && form.map === 1 && !w && x === 0 && b === 0 && !long) {
    bytes.push(0xc5, ((r ^ 1) << 7) | low)
    return
  }
  bytes.push(form.encoding === 'xop' ? 0x8f : 0xc4, ((r ^ 1) << 7) | ((x ^ 1) << 6) | ((b ^ 1) << 5) | form.map)
  bytes.push((w ? 0x80 : 0) | low)
}

const ROUNDING_MODES = { rn: 0, rd: 1, ru: 2, rz: 3, sae: 0 } as const

/**
 * EVEX of four bytes. Its register bits are inverted, but for B4.
 *
 * Source: Intel SDM vol. 2A, "Intel AVX-512 Encoding", "EVEX Prefix Bit Field Functional Grouping"; for the general registers
 * from 16 on, Intel APX Architecture Specification, "Extended EVEX Prefix".
 */
function pushEvex(
  bytes: number[],
  form: Form,
  fields: Fields,
  address: AddressEncoding | undefined,
  { w, size16, noFlags }: { readonly w: boolean; readonly size16: boolean; readonly noFlags: boolean },
): void {
  const { reg, rm, vvvv } = fields
  const base = address === undefined ? rm : address.base
  // X is the fifth bit of a vector register in ModRM.rm; V' is that of a vector index.
  const x = address !== undefined ? address.index >> 3 : fields.rmIsGeneral ? 0 : rm >> 4
  const b4 = address !== undefined || fields.rmIsGeneral ? (base >> 4) & 1 : 0
  const x4 = address === undefined || address.isVectorIndex ? 0 : address.index >> 4
  const v4 = (vvvv >> 4) | (address?.isVectorIndex === true ? address.index >> 4 : 0)
  const registers = ((reg & 8) << 4) | ((x & 1) << 6) | ((base & 8) << 2) | (reg & 16)
  bytes.push(0x62, (~registers & 0xf0) | (b4 << 3) | form.map)
  const pp = size16 ? 1 : simdPrefix(form)
  const wAndX = (w ? 0x80 : 0) | ((x4 ^ 1) << 2) | pp
  if (form.condition >= 0) {
    // CCMP and CTEST: flags in the place of vvvv, the condition in that of V' and the mask.
    bytes.push(wAndX | (fields.defaultFlags << 3), form.condition)
    return
  }
  bytes.push(wAndX | ((~vvvv & 15) << 3))
  const length = fields.rounding === undefined ? Math.max(form.vexL, 0) : ROUNDING_MODES[fields.rounding]
  const b = fields.broadcast || fields.rounding !== undefined || form.newDestination
  const nf = noFlags || form.noFlags === 'always' ? 4 : 0
  bytes.push((fields.zeroing ? 0x80 : 0) | (length << 5) | (b ? 0x10 : 0) | ((v4 ^ 1) << 3) | nf | fields.mask)
}
