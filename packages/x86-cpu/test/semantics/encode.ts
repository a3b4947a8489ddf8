import {
  DECODED,
  Instruction,
  MODE_16,
  MODE_32,
  MODE_64,
  OperandKind,
  PREFIX_LOCK,
  decodeInto,
} from '@retrap/x86-decoder'
import type { CodeInfo } from '@retrap/x86-decoder'
import { cpuModel } from '../../src/model/models.ts'
import { Processor } from '../../src/model/processor.ts'
import { BAND, CODE, CODE_SELECTORS, CODE_SELECTORS_16, CS_16, MODES, WINDOW, selectorsFor } from './layout.ts'
import type { Mode } from './layout.ts'
import type { Choice } from './random.ts'

const DECODER_OPTIONS = new Processor(cpuModel('max')).decoderOptions

/** One instruction as bytes, at an address of its own. */
export interface Encoding {
  readonly info: CodeInfo
  readonly mode: Mode
  /** Modes in which the host runs code, and far transfers may lead to. */
  readonly modes: readonly Mode[]
  /** 64-bit mode. */
  readonly long: boolean
  /** Linear address of the first byte. */
  readonly at: number
  readonly bytes: Uint8Array
  readonly insn: Instruction
  /** Of several instructions: all of them, and the flags that are undefined in the end. */
  readonly instructions?: readonly Encoding[]
  readonly undefinedAfter?: number
  /** Flags that are undefined somewhere on the way. */
  readonly undefinedOnTheWay?: number
}

const ESCAPES: readonly (readonly number[])[] = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]]
const MANDATORY: Readonly<Record<string, number>> = { '66': 0x66, F3: 0xf3, F2: 0xf2 }
/** Bytes that a shift, an ALU operation or a mask is most likely to be wrong with. */
const EDGE_BYTES = [0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 0x7f, 0x80, 0x81, 0xfe, 0xff]

const VEX_PREFIX: Readonly<Record<string, number>> = { '': 0, NP: 0, '66': 1, F3: 2, F2: 3 }

/** Whether a form's operand kind is a vector register that stays within eight outside 64-bit mode. */
function hasKind(info: CodeInfo, ...kinds: number[]): boolean {
  return info.operands.some((o) => kinds.includes(o.kind))
}

const RELATIVE = [OperandKind.REL8, OperandKind.REL16, OperandKind.REL32]

class Encoder {
  readonly #random: Choice
  readonly #info: CodeInfo
  readonly #mode: Mode
  readonly #modes: readonly Mode[]
  readonly #long: boolean
  #rex = 0
  #needsRex = false
  /** ModRM and what follows it. */
  #modrm: number[] = []
  #vvvv = 0

  constructor(random: Choice, info: CodeInfo, mode: Mode, modes: readonly Mode[]) {
    this.#random = random
    this.#info = info
    this.#mode = mode
    this.#modes = modes
    this.#long = mode === 64
  }

  bytes(at: number): number[] {
    const { prefix, map, opcode, opcodeRegister, encoding, modrm } = this.#info
    const random = this.#random
    const prefixes: number[] = []
    const operandSize = this.#operandSizePrefix(prefixes)
    if (operandSize) this.#rex |= 8
    if (this.#info.addressSize !== 0) {
      if (this.#info.addressSize !== this.#mode) prefixes.push(0x67)
    } else if (this.#hasMemory() && this.#mode !== 32 && random.chance(1, this.#long ? 12 : 3)) prefixes.push(0x67)
    if (this.#hasMemory() && random.chance(1, 12))
      prefixes.push(random.pick(this.#long ? [0x3e, 0x26, 0x64, 0x65] : [0x3e, 0x26, 0x36]))
    if (this.#info.repeat !== 'none' && random.chance(2, 3)) {
      prefixes.push(this.#info.repeat === 'repe' ? random.pick([0xf2, 0xf3]) : 0xf3)
    }
    let opcodeByte = opcode
    if (opcodeRegister) {
      const register = random.below(this.#long ? 16 : 8)
      opcodeByte |= register & 7
      if (register >= 8) this.#rex |= 1
    }
    if (modrm) this.#addModrm(prefixes.includes(0x67), at)
    if (this.#info.lockable && this.#modrm.length > 0 && (this.#modrm[0] as number) < 0xc0 && random.chance(1, 4))
      prefixes.push(0xf0)
    const mandatory = encoding === 'legacy' ? MANDATORY[prefix] : undefined
    if (mandatory !== undefined) prefixes.push(mandatory)
    const immediate = this.#immediate(prefixes.includes(0x67))
    if (encoding === 'vex')
      return [...prefixes.filter((p) => p !== 0x66), ...this.#vex(), opcodeByte, ...this.#modrm, ...immediate]
    if (this.#long && random.chance(1, 8)) this.#needsRex = true
    const rex = this.#rex !== 0 || this.#needsRex ? [0x40 | this.#rex] : []
    return [...prefixes, ...rex, ...(ESCAPES[map] as number[]), opcodeByte, ...this.#modrm, ...immediate]
  }

  #hasMemory(): boolean {
    return (
      this.#info.memory !== 'never' ||
      hasKind(this.#info, OperandKind.STRING_SOURCE, OperandKind.STRING_DESTINATION, OperandKind.XLAT)
    )
  }

  /** Adds a 66 prefix. @returns whether REX.W is wanted */
  #operandSizePrefix(prefixes: number[]): boolean {
    const { operandSize, sizeClass, encoding, default64, force64, vexW } = this.#info
    if (encoding === 'vex' && sizeClass !== 'y' && vexW < 0) return this.#random.chance(1, 4)
    if (encoding === 'vex') return sizeClass === 'y' ? operandSize === 64 : vexW === 1
    if (sizeClass === '') return false
    if (sizeClass === 'y') return operandSize === 64 && !default64
    if (operandSize === 16 ? this.#mode !== 16 : operandSize === 32 && this.#mode === 16) prefixes.push(0x66)
    return operandSize === 64 && !default64 && !force64
  }

  #addModrm(addressPrefix: boolean, at: number): void {
    const { extension, modrmByte, memory } = this.#info
    const random = this.#random
    const high = this.#long ? 16 : 8
    if (modrmByte >= 0) {
      this.#modrm = [modrmByte]
      return
    }
    let reg = extension
    if (extension < 0) {
      reg = random.below(high)
      if (hasKind(this.#info, OperandKind.SEGMENT_REG)) reg = random.pick([0, 2, 3, 4, 5])
      if (reg >= 8) this.#rex |= 4
    }
    if (this.#info.encoding === 'vex' && hasKind(this.#info, OperandKind.VVVV_REG, OperandKind.XMM_VVVV))
      this.#vvvv = random.below(high)
    const toMemory = memory === 'only' || (memory === 'any' && random.chance(2, 3))
    if (!toMemory) {
      const rm = random.below(high)
      if (rm >= 8) this.#rex |= 1
      this.#modrm = [0xc0 | ((reg & 7) << 3) | (rm & 7)]
      return
    }
    this.#memory(reg & 7, addressPrefix ? this.#mode === 32 : this.#mode === 16, at)
  }

  #memory(reg: number, sixteen: boolean, at: number): void {
    const random = this.#random
    const field = reg << 3
    const displacement = random.pick([0, 1, -1, 4, -8, 16, -128, 127, 0x40])
    const target = BAND + 0x80 + random.below(0x100) - (this.#mode === 16 ? WINDOW : 0)
    // In flat segments 16-bit addresses cannot reach the window: what they do there is checked by its fault.
    if (sixteen) {
      const mod = random.below(3)
      const rm = random.below(8)
      const absolute = mod === 0 && rm === 6
      this.#modrm = [(mod << 6) | field | rm, ...bytesOf(absolute ? target : displacement, absolute ? 2 : mod)]
      return
    }
    if (hasKind(this.#info, OperandKind.VSIB)) {
      const base = random.below(this.#long ? 16 : 8)
      const index = random.below(this.#long ? 16 : 8)
      if (base >= 8) this.#rex |= 1
      if (index >= 8) this.#rex |= 2
      this.#modrm = [0x44 | field, (random.below(4) << 6) | ((index & 7) << 3) | (base & 7), displacement & 0xff]
      return
    }
    const kind = random.below(8)
    if (kind === 0) {
      // disp32: relative to the next instruction in 64-bit mode. Its length is not known yet; the band is wide enough.
      const relative = this.#long ? target - (at + 8) : target
      this.#modrm = [field | 5, ...bytesOf(relative, 4)]
      return
    }
    if (kind === 1) {
      // Neither base nor index.
      this.#modrm = [field | 4, 0x25, ...bytesOf(target, 4)]
      return
    }
    const high = this.#long ? 16 : 8
    const base = random.below(high)
    if (base >= 8) this.#rex |= 1
    const wide = random.chance(1, 4)
    const mod = wide ? 2 : displacement === 0 && (base & 7) !== 5 ? 0 : 1
    const disp = bytesOf(displacement, mod === 0 ? 0 : mod === 1 ? 1 : 4)
    if (kind < 5 && (base & 7) !== 4) {
      this.#modrm = [(mod << 6) | field | (base & 7), ...disp]
      return
    }
    let index = random.below(high)
    if (index === base) index = (index + 1) % high
    if (index >= 8) this.#rex |= 2
    const sib = (random.below(4) << 6) | ((index & 7) << 3) | (base & 7)
    this.#modrm = [(mod << 6) | field | 4, sib, ...disp]
  }

  #immediateByte(): number {
    const random = this.#random
    // 80h is the host's system call.
    if (this.#info.mnemonic === 'INT') return random.pick([3, 4, 0, 13, 0x20, 0x7f, 0xff])
    return random.chance() ? random.pick(EDGE_BYTES) : random.below(256)
  }

  #farPointer(offsetBytes: number): number[] {
    const selector = this.#random.pick(codeSelectors(this.#mode, this.#modes))
    const base = selector === CS_16 ? 0 : CODE
    return [...bytesOf(base + 1 + 0x10 * this.#random.below(2), offsetBytes), ...bytesOf(selector, 2)]
  }

  /** A memory offset of the address size. */
  #absolute(addressPrefix: boolean): number[] {
    const address = BAND + 0x40 + this.#random.below(0x180)
    if (this.#long && !addressPrefix) return [...bytesOf(address, 4), 0, 0, 0, 0]
    if (this.#mode === 16) return bytesOf(address - WINDOW, addressPrefix ? 4 : 2)
    return bytesOf(address, this.#long || !addressPrefix ? 4 : 2)
  }

  #vex(): number[] {
    const { prefix, map, vexL } = this.#info
    const r = (this.#rex & 4) === 0 ? 0x80 : 0
    const x = (this.#rex & 2) === 0 ? 0x40 : 0
    const b = (this.#rex & 1) === 0 ? 0x20 : 0
    const w = (this.#rex & 8) === 0 ? 0 : 0x80
    const wide = vexL < 0 ? this.#random.below(2) : vexL
    const last = ((~this.#vvvv & 15) << 3) | (wide << 2) | (VEX_PREFIX[prefix] as number)
    if (map === 1 && x !== 0 && b !== 0 && w === 0 && this.#random.chance()) return [0xc5, r | last]
    return [0xc4, r | x | b | map, w | last]
  }

  #immediate(addressPrefix: boolean): number[] {
    const random = this.#random
    const out: number[] = []
    for (const { kind, size } of this.#info.operands) {
      switch (kind) {
        case OperandKind.IMM8:
        case OperandKind.IMM8_SX:
        case OperandKind.IMM8_SECOND:
          out.push(this.#immediateByte())
          break
        case OperandKind.XMM_IS4:
          out.push((random.below(this.#long ? 16 : 8) << 4) | random.below(16))
          break
        case OperandKind.IMM16:
          out.push(...bytesOf(edge(random), 2))
          break
        case OperandKind.IMM32:
        case OperandKind.IMM32_SX:
          out.push(...bytesOf(edge(random), 4))
          break
        case OperandKind.IMM64:
          out.push(...bytesOf(edge(random), 4), ...bytesOf(edge(random), 4))
          break
        case OperandKind.REL8:
          out.push(random.pick([0x30, 0x10, 0x70, 0xc0, 0x90]))
          break
        case OperandKind.REL16:
          // In a flat segment the target is cut to what is not mapped.
          out.push(...bytesOf(this.#mode === 16 ? random.pick([0x10, 0x60, -0x50, -0x80]) : random.u32(), 2))
          break
        case OperandKind.REL32:
          out.push(...bytesOf(random.pick([0x10, 0x60, -0x50, -0x80, 0x4000_0000, -0x1000_0000]), 4))
          break
        case OperandKind.MOFFS:
          out.push(...this.#absolute(addressPrefix))
          break
        default:
      }
      if (kind === OperandKind.FAR_POINTER) out.push(...this.#farPointer(size - 2))
    }
    return out
  }
}

/** What far transfers from code of a mode go to. */
export function codeSelectors(mode: Mode, modes: readonly Mode[]): readonly number[] {
  return selectorsFor(mode === 16 ? CODE_SELECTORS_16 : CODE_SELECTORS, modes)
}

function bytesOf(value: number, count: number): number[] {
  return [0, 8, 16, 24].slice(0, count).map((shift) => (value >> shift) & 0xff)
}

/** A 32-bit number, often a remarkable one. */
export function edge(random: Choice): number {
  switch (random.below(4)) {
    case 0:
      return random.pick([0, 1, -1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, -2]) | 0
    case 1:
      return random.below(256) - 128
    default:
      return random.u32() | 0
  }
}

/** The modes that a form is tested in. */
export function modesOf(info: CodeInfo): readonly Mode[] {
  // Near branches of other sizes than 64 bits exist in 64-bit mode on AMD processors only.
  return MODES.filter((mode) => {
    if (mode === 64 && info.force64 && info.operandSize !== 64) return false
    return (info.modes & (mode === 64 ? MODE_64 : mode === 32 ? MODE_32 : MODE_16)) !== 0
  })
}

/**
 * A random encoding of a form.
 *
 * @param at - where it will be
 * @param modes - in which the host runs code
 * @returns undefined if the random bytes decode to something else, which another row of the opcode map claims
 */
export function encode(
  random: Choice,
  info: CodeInfo,
  mode: Mode,
  at: number,
  modes: readonly Mode[] = MODES,
): Encoding | undefined {
  const bytes = Uint8Array.from(new Encoder(random, info, mode, modes).bytes(at))
  const insn = new Instruction()
  if (decodeInto(bytes, 0, bytes.length, mode | DECODER_OPTIONS, insn) !== DECODED || insn.length !== bytes.length)
    return undefined
  if (insn.code !== info.code) return undefined
  if ((insn.prefixes & PREFIX_LOCK) !== 0 && insn.isMemory === 0) return undefined
  return { info, mode, modes, long: mode === 64, at, bytes, insn }
}

export { RELATIVE }
