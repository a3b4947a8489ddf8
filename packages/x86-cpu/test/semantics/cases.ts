import { OperandKind, REGISTER_RIP } from '@retrap/x86-decoder'
import { codeSelectors, edge } from './encode.ts'
import type { Encoding } from './encode.ts'
import { decimalOperand, extendedOperand, randomUpperHalves, randomVectors } from './vectors.ts'
import * as L from './layout.ts'
import { selectorOf, selectorsFor } from './layout.ts'
import { Random } from './random.ts'
import type { Choice } from './random.ts'

const [RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI] = [0, 1, 2, 3, 4, 5, 6, 7]

/** The end of the window's first page. */
const BOUNDARY = L.WINDOW + 0x1000
/** CF PF AF ZF SF OF. */
const ARITHMETIC = 0x8d5
const DIRECTION = 0x400
/** TF, NT, RF, AC, ID and IOPL stay as they are for whoever runs next: POPF does not get to see them. */
const KEPT_OUT_OF_POPF = 0xffff_ffff ^ (ARITHMETIC | DIRECTION | 0x202)

/** Memory contents are pieces of this. */
const pool: Uint8Array = randomPool()

function randomPool(): Uint8Array {
  const random = new Random(1)
  return Uint8Array.from({ length: 0x4000 }, () => random.below(256))
}

/** Registers, flags and memory of one case, while they are made. */
export class CaseBuilder {
  readonly #random: Choice
  readonly #encoding: Encoding
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #mask: bigint
  /** Base of the data and stack segments. */
  readonly #base: number
  /** Linear address of the memory operand, or 0. */
  operandAt = 0
  /** Bit i: register i was given what the instruction needs of it. */
  placed = 0

  constructor(random: Choice, encoding: Encoding, into: Uint8Array) {
    this.#random = random
    this.#encoding = encoding
    this.#bytes = into
    this.#view = new DataView(into.buffer, into.byteOffset, L.IN_BYTES)
    this.#base = encoding.mode === 16 ? L.WINDOW : 0
    this.#mask = encoding.long ? 0xffff_ffff_ffff_ffffn : 0xffff_ffffn
  }

  build(): void {
    const { insn, long, mode, at } = this.#encoding
    const random = this.#random
    this.#view.setUint32(L.IN_RIP, mode === 16 ? at - L.CODE : at, true)
    const data = mode !== 16 ? L.USER_DATA : random.chance(1, 8) ? L.READ_ONLY_16 : L.DATA_16
    this.#view.setUint32(L.IN_CS, selectorOf(mode) | (data << 16), true)
    this.#view.setBigUint64(
      L.IN_RFLAGS,
      BigInt((random.u32() & ARITHMETIC) | (random.chance(1, 8) ? DIRECTION : 0) | 0x202),
      true,
    )
    for (let i = 0; i < (long ? 16 : 8); i++) this.#randomRegister(i)
    const used = usesVectors(this.#encoding)
    randomVectors(random, this.#bytes.subarray(L.IN_FX, L.IN_FX + L.FX_BYTES), used)
    if (used) randomUpperHalves(random, this.#bytes.subarray(L.IN_YMM, L.IN_YMM + L.YMM_BYTES))
    const from = random.below(pool.length - L.BAND_BYTES)
    this.#bytes.set(pool.subarray(from, from + L.BAND_BYTES), L.IN_BAND)
    if (!random.chance(1, 32))
      this.setPointer(RSP, BigInt(L.BAND + 0xe0 + 8 * random.below(9) + (random.chance(1, 8) ? random.below(8) : 0)))
    else if (mode === 16) this.setRegister(RSP, BigInt(random.pick([0, 1, 2, 3, 4, 6, 0xffff, 0xfffe])))
    this.#implied()
    if (insn.isMemory !== 0) this.#address()
    this.#afterwards()
    this.#selectors()
  }

  register(i: number): bigint {
    return this.#view.getBigUint64(L.IN_GPR + 8 * i, true)
  }

  setRegister(i: number, value: bigint): void {
    this.placed |= 1 << i
    this.#view.setBigUint64(L.IN_GPR + 8 * i, value & this.#mask, true)
  }

  /** Makes a register point to a linear address; in 16-bit code its upper half does not count. */
  setPointer(i: number, linear: bigint): void {
    const upper = this.#base === 0 ? 0n : BigInt(this.#random.chance() ? this.#random.below(0x1_0000) : 0) << 16n
    this.setRegister(i, (linear - BigInt(this.#base)) | upper)
  }

  #randomRegister(i: number): void {
    const random = this.#random
    const lo = edge(random)
    const hi = random.chance(1, 3) ? lo >> 31 : random.chance() ? edge(random) : 0
    this.#view.setInt32(L.IN_GPR + 8 * i, lo, true)
    this.#view.setInt32(L.IN_GPR + 8 * i + 4, this.#encoding.long ? hi : 0, true)
  }

  /** An address within the code, and near its first page, where INT3 is. */
  #codeTarget(): bigint {
    return BigInt((this.#base === 0 ? L.CODE : 0) + 0x10 * this.#random.below(2) + 1)
  }

  #bandAddress(size: number): bigint {
    const random = this.#random
    switch (random.below(8)) {
      case 0:
        return BigInt(L.BAND + 0x80 + random.below(0x100 - size))
      case 1:
        // Across the page boundary, unless it is a byte.
        return BigInt(BOUNDARY - (size > 1 ? 1 + random.below(size - 1) : 0))
      default:
        return BigInt(L.BAND + 0x80 + ((random.below(0x100 - size) + size - 1) & ~(Math.min(size, 16) - 1)))
    }
  }

  /** Registers that the instruction uses without naming them. */
  #implied(): void {
    const { info, insn } = this.#encoding
    const random = this.#random
    const { mnemonic } = info
    if (mnemonic === 'ENTER' || mnemonic === 'LEAVE') this.setPointer(RBP, BigInt(L.BAND + 0x120 + 8 * random.below(8)))
    if (mnemonic.startsWith('MASKMOV')) this.setRegister(RDI, this.#bandAddress(16) - BigInt(this.#base))
    if (mnemonic === 'LOOP' || mnemonic === 'LOOPE' || mnemonic === 'LOOPNE' || /^J[ER]?CXZ$/.test(mnemonic)) {
      if (random.chance()) this.setRegister(RCX, BigInt(random.below(3)))
    }
    if (mnemonic === 'DIV' || mnemonic === 'IDIV') this.#dividend()
    if (!info.operands.some((o) => o.kind === OperandKind.STRING_SOURCE || o.kind === OperandKind.STRING_DESTINATION))
      return
    const size = Math.max(...info.operands.map((o) => o.memorySize))
    const garbage =
      insn.addressSize < 64 && random.chance() ? BigInt(random.u32() >>> 0) << BigInt(insn.addressSize) : 0n
    const place = (): bigint =>
      (BigInt(L.BAND + 0x60 + random.below(0x130)) & -BigInt(random.chance() ? 1 : size)) - BigInt(this.#base)
    this.setRegister(RSI, place() | garbage)
    this.setRegister(RDI, place() | garbage)
    this.setRegister(RCX, BigInt(random.below(9)) | garbage)
    // Repetitions that end early, or do not.
    if (random.chance()) this.#bytes.fill(random.pick([0, 0xff]), L.IN_BAND + 0x40, L.IN_BAND + 0x1c0)
    if (random.chance()) this.setRegister(RAX, random.pick([0n, 0xffff_ffff_ffff_ffffn]))
  }

  /** Dividends whose quotients fit, mostly. */
  #dividend(): void {
    const random = this.#random
    const size = this.#encoding.info.operands[0]?.size ?? 0
    if (random.chance(1, 4)) return
    if (size > 1 && random.chance(1, 3) && this.#edgeQuotient(size)) return
    if (size === 1) this.setRegister(RAX, (BigInt(random.below(0x400)) * random.pick([1n, -1n])) & 0xffffn)
    else if (this.#encoding.info.mnemonic === 'IDIV' && random.chance()) {
      const negative = (this.register(RAX) >> BigInt(8 * size - 1)) & 1n
      this.setRegister(RDX, negative === 1n ? -1n : 0n)
    } else this.setRegister(RDX, BigInt(random.below(4)))
  }

  /** A dividend whose quotient is the last that fits, or the first that does not. @returns whether the divisor is a register */
  #edgeQuotient(size: number): boolean {
    const { info, insn } = this.#encoding
    const random = this.#random
    if (insn.isMemory !== 0 || [RAX, RDX, RSP].includes(insn.rm)) return false
    const bits = BigInt(8 * size)
    const signed = info.mnemonic === 'IDIV'
    const divisor = BigInt(1 + random.below(8)) * (signed ? random.pick([1n, -1n]) : 1n)
    const edges = signed ? [1n << (bits - 1n), -(1n << (bits - 1n))] : [1n << bits]
    const dividend = (random.pick(edges) + BigInt(random.below(5) - 2)) * divisor + BigInt(random.below(3) - 1)
    this.setRegister(insn.rm, BigInt.asUintN(8 * size, divisor))
    this.setRegister(RAX, BigInt.asUintN(8 * size, dividend))
    this.setRegister(RDX, BigInt.asUintN(8 * size, dividend >> bits))
    return true
  }

  /** Makes the memory operand lie in the window, by the value of its base register. */
  #address(): void {
    const { info, insn } = this.#encoding
    const random = this.#random
    const { mnemonic } = info
    if (mnemonic === 'XLATB') {
      this.setRegister(RBX, BigInt(L.BAND + random.below(0x100) - this.#base))
      return
    }
    if (!insn.modrmOffset) return
    if (info.operands[1]?.kind === OperandKind.VSIB) {
      this.#gather()
      return
    }
    const memory = info.operands.find((o) => o.memorySize > 0)
    const size = memory?.memorySize ?? 16
    const bitTest = /^BT[SRC]?$/.test(mnemonic) && info.operands[1]?.kind === OperandKind.REG
    if (bitTest) {
      const bits = random.below(0x400) - 0x200
      this.setRegister(insn.reg, BigInt.asUintN(64, BigInt(bits)))
    }
    let ea: bigint
    if (insn.base === REGISTER_RIP) ea = BigInt(this.#encoding.at + insn.length + insn.dispLo)
    else if (insn.base < 0) ea = BigInt(insn.dispLo)
    else {
      ea =
        (bitTest ? BigInt(L.BAND + 0x100 + random.below(8)) : this.#bandAddress(Math.min(size, 0x80))) -
        BigInt(this.#base)
      const index = insn.index < 0 ? 0n : this.register(insn.index) << BigInt(insn.scale)
      let base = ea - index - BigInt(insn.dispLo)
      // POP's address is computed after the stack pointer has moved.
      if (insn.addressSize < 64 && random.chance()) {
        base = BigInt.asUintN(insn.addressSize, base) | (BigInt(random.u32() >>> 0) << BigInt(insn.addressSize))
      }
      if (!random.chance(1, 64)) this.setRegister(insn.base, base)
    }
    this.operandAt = Number(BigInt.asUintN(32, ea)) + this.#base
    this.#remarkableOperand(this.operandAt, size)
  }

  /** Indices that lie in the window, mostly, and a mask. */
  #gather(): void {
    const { info, insn } = this.#encoding
    const random = this.#random
    this.setPointer(insn.base, BigInt(L.BAND + 0x100 - ((insn.dispLo << 24) >> 24)))
    const wide = /GATHERQ/.test(info.mnemonic)
    const lane = (register: number, i: number): number =>
      i < 16 ? L.IN_FX + L.FX_XMM + 16 * register + i : L.IN_YMM + 16 * register + (i - 16)
    for (let i = 0; i < 32; i += wide ? 8 : 4) {
      const far = random.chance(1, 40)
      const index = far ? edge(random) : (random.below(0x180) - 0xc0) >> insn.scale
      this.#view.setInt32(lane(insn.index, i), index, true)
      if (wide) this.#view.setInt32(lane(insn.index, i + 4), far ? edge(random) : index >> 31, true)
    }
    for (let i = 0; i < 32; i += 4) if (random.chance(1, 3)) this.#view.setInt32(lane(insn.vvvv, i), -1, true)
  }

  /** Puts an edge value where the memory operand is. */
  #remarkableOperand(ea: number, size: number): void {
    const random = this.#random
    if (ea < L.BAND || ea + 16 > L.BAND + L.BAND_BYTES) return
    const at = L.IN_BAND + ea - L.BAND
    const { mnemonic, flow } = this.#encoding.info
    // A target that is anywhere would be among other code in 16-bit code.
    if (this.#base === 0 && random.chance(1, 4)) return
    if (flow === 'indirect-jump' || flow === 'indirect-call') {
      this.#view.setBigUint64(at, this.#codeTarget(), true)
      return
    }
    if (mnemonic === 'CMPXCHG' || mnemonic === 'CMPXCHG8B' || mnemonic === 'CMPXCHG16B') {
      if (random.chance()) this.#agree(at)
      return
    }
    if (isX87(this.#encoding) && size > 8) {
      // Environments and register images stay what the memory is filled with.
      if (size === 10) this.#bytes.set(mnemonic === 'FBLD' ? decimalOperand(random) : extendedOperand(random), at)
      return
    }
    if (usesVectors(this.#encoding)) {
      this.#bytes.set(vectorOperand(random), at)
      if (size > 16 && ea + 32 <= L.BAND + L.BAND_BYTES) this.#bytes.set(vectorOperand(random), at + 16)
      return
    }
    if (size > 8) return
    const value = edge(random)
    for (let i = 0; i < size; i++)
      this.#bytes[at + i] = i < 4 ? value >> (8 * i) : random.chance(1, 2) ? value >> 31 : value >> (8 * (i & 3))
  }

  /** CMPXCHG finds what it looks for. */
  #agree(at: number): void {
    const { mnemonic, operands } = this.#encoding.info
    const half = mnemonic === 'CMPXCHG' ? (operands[0]?.size ?? 8) : mnemonic === 'CMPXCHG8B' ? 4 : 8
    for (let i = 0; i < half; i++) {
      this.#bytes[at + i] = this.#bytes[L.IN_GPR + i] as number
      if (mnemonic !== 'CMPXCHG') this.#bytes[at + half + i] = this.#bytes[L.IN_GPR + 8 * RDX + i] as number
    }
  }

  /** Selectors where a segment register is loaded, and far pointers and frames to return to. */
  #selectors(): void {
    const { info, insn, mode, modes, bytes: code } = this.#encoding
    const { mnemonic, operandSize } = info
    const random = this.#random
    const pick = (selectors: readonly number[]): number => random.pick(selectorsFor(selectors, modes))
    const ea = this.operandAt
    if (mnemonic === 'CALLF' || mnemonic === 'JMPF') {
      const to =
        insn.isMemory === 0 ? code.at(-2) : ea > 0 ? this.#farTarget(ea, operandSize >> 3, operandSize >> 3) : 0
      // A far CALL from 32-bit to 64-bit code with a stack pointer that wraps hangs on the host, as from 16-bit code.
      if (mode === 32 && to === L.CS_64 && this.register(RSP) < 8n) this.setRegister(RSP, this.register(RSP) + 8n)
    }
    if (/^L[DEFGS]S$/.test(mnemonic) && ea > 0) {
      // Processors without offsets of 64 bits have the selector after 32.
      for (const offset of operandSize === 64 ? [4, 8] : [operandSize >> 3])
        this.#put(ea + offset, 2, pick(L.DATA_SELECTORS))
    }
    if (/^(LAR|LSL|VERR|VERW)$/.test(mnemonic) || info.form.startsWith('MOV Sreg')) {
      const selector = pick(L.DATA_SELECTORS)
      if (insn.isMemory === 0) this.setRegister(insn.rm, (this.register(insn.rm) & ~0xffffn) | BigInt(selector))
      else if (ea > 0) this.#put(ea, 2, selector)
    }
    const sp = Number(BigInt.asUintN(mode === 16 ? 16 : 32, this.register(RSP))) + this.#base
    if (/^POP .S$/.test(info.form)) this.#put(sp, 2, pick(L.DATA_SELECTORS))
    if (mnemonic === 'RETF') this.#farTarget(sp, operandSize >> 3, operandSize >> 3)
    if (!mnemonic.startsWith('IRET')) return
    const word = operandSize >> 3
    this.#farTarget(sp, word, word)
    this.#put(sp + 2 * word, Math.min(word, 4), (random.u32() & ~KEPT_OUT_OF_POPF) | 0x202)
    this.#put(sp + 3 * word, Math.min(word, 4), L.BAND + 0x100)
    if (word === 8) this.#put(sp + 3 * word + 4, 4, 0)
    this.#put(sp + 4 * word, 2, pick([0x2b, 0x2b, 0x2b, 0x17, 0, 0x23, 0x28]))
  }

  /** An offset and, after `word` bytes, a selector, which is returned. */
  #farTarget(linear: number, offsetBytes: number, word: number): number {
    const random = this.#random
    const selector = random.pick(codeSelectors(this.#encoding.mode, this.#encoding.modes))
    const offset = (selector === L.CS_16 ? 0 : L.CODE) + 1 + 0x10 * random.below(2)
    this.#put(linear, Math.min(offsetBytes, 4), offset)
    if (offsetBytes === 8) this.#put(linear + 4, 4, 0)
    this.#put(linear + word, 2, selector)
    return selector
  }

  /** Writes to the band, if it is there. */
  #put(linear: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) {
      const at = linear + i - L.BAND
      if (at >= 0 && at < L.BAND_BYTES) this.#bytes[L.IN_BAND + at] = value >>> (8 * i)
    }
  }

  /** What depends on where the stack pointer has come to be. */
  #afterwards(): void {
    const { info, insn } = this.#encoding
    const random = this.#random
    const sp = Number(BigInt.asUintN(this.#base === 0 ? 32 : 16, this.register(RSP))) + this.#base
    const inBand = sp >= L.BAND && sp + 16 <= L.BAND + L.BAND_BYTES
    const at = L.IN_BAND + sp - L.BAND
    if (info.mnemonic.startsWith('POPF') && inBand) {
      this.#view.setUint32(at, (random.u32() & ~KEPT_OUT_OF_POPF) >>> 0, true)
    }
    if (info.flow === 'return' && inBand && (this.#base !== 0 || !random.chance(1, 8)))
      this.#view.setBigUint64(at, this.#codeTarget(), true)
    if (
      (info.flow === 'indirect-jump' || info.flow === 'indirect-call') &&
      insn.isMemory === 0 &&
      (this.#base !== 0 || !random.chance(1, 8))
    ) {
      this.setRegister(insn.rm, this.#codeTarget())
    }
    if (info.mnemonic === 'CMPXCHG' && insn.isMemory === 0 && random.chance())
      this.setRegister(insn.rm, this.register(RAX))
  }
}

/**
 * Whether x87, MMX or SSE registers have to do with it: then all of them, and the control and status words, are random, as
 * both sides load them from one FXSAVE image (sigreturn there, `machine.ts` here). Nothing else gets more than the plainest
 * state: no other form reads or writes it, which comparing it shows.
 */
export function usesVectors(encoding: Encoding): boolean {
  const { mnemonic, feature } = encoding.info
  return (
    isX87(encoding) ||
    mnemonic === 'FWAIT' ||
    /^(SSE|SSSE|MMX|FXSR|AVX|FMA$|F16C|V?AES|V?PCLMUL|SHA|GFNI)/.test(feature)
  )
}

/** Also where another feature is needed: FCMOVcc, FCOMI, FISTTP. */
function isX87({ info }: Encoding): boolean {
  return info.feature.startsWith('FPU')
}

function vectorOperand(random: Choice): Uint8Array {
  const image = new Uint8Array(L.FX_BYTES)
  randomVectors(random, image, true)
  return image.subarray(160, 176)
}
