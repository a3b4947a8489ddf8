/**
 * The inputs of a stage-1 walk of the Arm EL1&0 regime: the control registers, read once and kept as plain numbers.
 *
 * Source: Arm ARM (DDI 0487), "TCR_EL1", "SCTLR_EL1", "TTBCR", part G "VMSAv8-32 address translation".
 */
import { check } from '../arguments.ts'
import { PagingError } from '../errors.ts'

/** The system registers of one vCPU that control translation. 64-bit registers are a low and a high word. */
export interface ArmTranslationRegisters {
  /** The regime is AArch64's: EL1 is. */
  readonly aarch64: boolean
  /** SCTLR_EL1, or SCTLR. */
  readonly sctlr: number
  /** TCR_EL1, or TTBCR (low word only). */
  readonly tcrLo: number
  /** High word of TCR_EL1. */
  readonly tcrHi: number
  /** Low word of TTBR0. */
  readonly ttbr0Lo: number
  /** High word of TTBR0. */
  readonly ttbr0Hi: number
  /** Low word of TTBR1. */
  readonly ttbr1Lo: number
  /** High word of TTBR1. */
  readonly ttbr1Hi: number
  /** MAIR_EL1; MAIR0 and MAIR1; with TEX remap PRRR and NMRR. */
  readonly mairLo: number
  /** See {@link ArmTranslationRegisters.mairLo}. */
  readonly mairHi: number
  /** Domains of short descriptors. */
  readonly dacr: number
}

/** Format of the tables. */
export const ArmFormat = {
  /** Stage 1 is off. */
  OFF: 0,
  /** VMSAv8-64. */
  LONG_64: 1,
  /** VMSAv8-32, long descriptors (LPAE). */
  LONG_32: 2,
  /** VMSAv8-32, short descriptors. */
  SHORT: 3,
} as const

/** A value of `ArmFormat`. */
export type ArmFormat = (typeof ArmFormat)[keyof typeof ArmFormat]

const SCTLR_M = 1
const SCTLR_WXN = 1 << 19
const SCTLR_UWXN = 1 << 20
const SCTLR_AFE = 1 << 29
const SCTLR_TRE = 1 << 28
const TTBCR_EAE = 2 ** 31

/** Bits of address in a lookup at one level, by granule: 9, 11, 13. */
const STRIDE: Readonly<Record<number, number>> = { 12: 9, 14: 11, 16: 13 }
/** TG0 and TG1 number the granules differently; log2 of the bytes, 0 = reserved. */
const TG0 = [12, 16, 14, 0] as const
const TG1 = [0, 14, 12, 16] as const

/** One half of the address space. */
export interface ArmHalf {
  /** Bits of address that the table translates; 0: none. */
  inputBits: number
  /** log2 of the granule. */
  granule: number
  /** Bits of address that each level resolves. */
  stride: number
  /** Level at which a walk starts. */
  level: number
  /** IPA of the first table. */
  table: number
  /** Walks are disabled: every access is a translation fault at level 0 (long) or 1 (short). */
  disabled: boolean
  /** EL0's accesses are translation faults at level 0 (TCR.E0PD). */
  unprivilegedDisabled: boolean
  /** The top byte of a data access's address is ignored. */
  topByteIgnored: boolean
  /** … and of a fetch's: TCR.TBID takes them out. */
  fetchTopByteIgnored: boolean
  /** Rights in table descriptors are ignored. */
  hierarchyIgnored: boolean
}

const half = (): ArmHalf => ({
  inputBits: 0,
  granule: 12,
  stride: 9,
  level: 0,
  table: 0,
  disabled: true,
  unprivilegedDisabled: false,
  topByteIgnored: false,
  fetchTopByteIgnored: false,
  hierarchyIgnored: false,
})

/** Bits of intermediate physical addresses by TCR.IPS; they are at most 48 here. */
const IPS = [32, 36, 40, 42, 44, 48, 48, 48] as const

/**
 * The registers, as a walk needs them. Made once and updated when a register changes.
 *
 * Not covered: 52-bit addresses (LPA, LVA, LPA2), stage-1 permission indirection and overlays, SCTLR.EPAN, TTBCR2.HPD, and
 * tables in big-endian order (SCTLR.EE); registers that ask for them are read as if the fields were reserved.
 */
export class ArmPagingContext {
  /** Format of the tables. */
  format: ArmFormat = ArmFormat.OFF
  /** Translation of the lower half: TTBR0's. Bit 55 of an address, or TTBCR's split, selects the half. */
  readonly lower: ArmHalf = half()
  /** Translation of the upper half: TTBR1's. */
  readonly upper: ArmHalf = half()
  /** SCTLR.WXN: writable pages are not executed. */
  writeExecuteNever: boolean = false
  /** SCTLR.UWXN (AArch32): PL1 does not execute pages that PL0 may write. */
  userWriteExecuteNever: boolean = false
  /** TCR.HA: hardware sets the access flag. */
  hardwareAccess: boolean = false
  /** TCR.HD: hardware sets the dirty state. */
  hardwareDirty: boolean = false
  /** Bits of address that descriptors may have: more is an address size fault (long formats). */
  outputBits: number = 48
  /** SCTLR.AFE: AP[0] is the access flag (short descriptors). */
  accessFlagEnable: boolean = false
  /** SCTLR.TRE: PRRR and NMRR give memory types (short descriptors). */
  texRemap: boolean = false
  /** TTBCR.N: bits of address by which TTBR1 is chosen (short descriptors). */
  split: number = 0
  /** Low word of MAIR, or PRRR. */
  mairLo: number = 0
  /** High word of MAIR, or NMRR. */
  mairHi: number = 0
  /** DACR (short descriptors). */
  dacr: number = 0

  /**
   * Takes new register values.
   *
   * @throws PagingError `ERR_MODE` for a value that is not an unsigned or signed 32-bit word
   */
  update(registers: ArmTranslationRegisters): void {
    checkWords(registers)
    const { sctlr, aarch64, tcrLo } = registers
    this.writeExecuteNever = (sctlr & SCTLR_WXN) !== 0
    this.userWriteExecuteNever = !aarch64 && (sctlr & SCTLR_UWXN) !== 0
    this.mairLo = registers.mairLo >>> 0
    this.mairHi = registers.mairHi >>> 0
    this.dacr = registers.dacr >>> 0
    this.hardwareAccess = false
    this.hardwareDirty = false
    this.accessFlagEnable = !aarch64 && (sctlr & SCTLR_AFE) !== 0
    this.texRemap = !aarch64 && (sctlr & SCTLR_TRE) !== 0
    if ((sctlr & SCTLR_M) === 0) this.#off(registers)
    else if (aarch64) this.#long64(registers)
    else if (tcrLo >>> 0 >= TTBCR_EAE) this.#long32(registers)
    else this.#short(registers)
  }

  #off({ aarch64, tcrHi }: ArmTranslationRegisters): void {
    this.format = ArmFormat.OFF
    // Addresses have all bits of AArch64, or of AArch32.
    this.lower.inputBits = aarch64 ? 64 : 32
    setTopByte(this.lower, aarch64 ? tcrHi >>> 5 : 0, tcrHi >>> 19)
  }

  #long64(registers: ArmTranslationRegisters): void {
    const { tcrLo, tcrHi } = registers
    this.format = ArmFormat.LONG_64
    this.hardwareAccess = (tcrHi & (1 << 7)) !== 0
    this.hardwareDirty = this.hardwareAccess && (tcrHi & (1 << 8)) !== 0
    setHalf(this.lower, tcrLo & 63, TG0[(tcrLo >>> 14) & 3]!, registers.ttbr0Lo, registers.ttbr0Hi)
    setHalf(this.upper, (tcrLo >>> 16) & 63, TG1[(tcrLo >>> 30) & 3]!, registers.ttbr1Lo, registers.ttbr1Hi)
    this.lower.disabled ||= (tcrLo & (1 << 7)) !== 0
    this.upper.disabled ||= (tcrLo & (1 << 23)) !== 0
    this.outputBits = IPS[tcrHi & 7]!
    setTopByte(this.lower, tcrHi >>> 5, tcrHi >>> 19)
    setTopByte(this.upper, tcrHi >>> 6, tcrHi >>> 20)
    this.lower.unprivilegedDisabled = (tcrHi & (1 << 23)) !== 0
    this.upper.unprivilegedDisabled = (tcrHi & (1 << 24)) !== 0
    this.lower.hierarchyIgnored = (tcrHi & (1 << 9)) !== 0
    this.upper.hierarchyIgnored = (tcrHi & (1 << 10)) !== 0
  }

  #long32(registers: ArmTranslationRegisters): void {
    const { tcrLo } = registers
    this.format = ArmFormat.LONG_32
    this.outputBits = 40
    const t0sz = tcrLo & 7
    const t1sz = (tcrLo >>> 16) & 7
    for (const [each, size, lo, hi, epd] of [
      [this.lower, t0sz, registers.ttbr0Lo, registers.ttbr0Hi, 7],
      [this.upper, t1sz, registers.ttbr1Lo, registers.ttbr1Hi, 23],
    ] as const) {
      each.inputBits = 32 - size
      each.granule = 12
      each.stride = 9
      each.level = each.inputBits > 30 ? 1 : 2
      each.table = tableAddress(lo, hi, each.inputBits - (each.level === 1 ? 30 : 21) + 3)
      each.disabled = (tcrLo & (1 << epd)) !== 0
      each.unprivilegedDisabled = false
      // TTBCR2.HPD is not modelled: 0.
      each.hierarchyIgnored = false
    }
  }

  #short(registers: ArmTranslationRegisters): void {
    const { tcrLo } = registers
    this.format = ArmFormat.SHORT
    this.split = tcrLo & 7
    this.lower.table = ((registers.ttbr0Lo >>> (14 - this.split)) << (14 - this.split)) >>> 0
    this.upper.table = (registers.ttbr1Lo & ~0x3fff) >>> 0
    this.lower.disabled = (tcrLo & (1 << 4)) !== 0
    this.upper.disabled = (tcrLo & (1 << 5)) !== 0
  }
}

/** Registers are checked one by one, because this runs at each instruction fetch. */
function checkWords(registers: ArmTranslationRegisters): void {
  check.object('registers', registers)
  checkWord('sctlr', registers.sctlr)
  checkWord('tcrLo', registers.tcrLo)
  checkWord('tcrHi', registers.tcrHi)
  checkWord('ttbr0Lo', registers.ttbr0Lo)
  checkWord('ttbr0Hi', registers.ttbr0Hi)
  checkWord('ttbr1Lo', registers.ttbr1Lo)
  checkWord('ttbr1Hi', registers.ttbr1Hi)
  checkWord('mairLo', registers.mairLo)
  checkWord('mairHi', registers.mairHi)
  checkWord('dacr', registers.dacr)
}

function checkWord(name: string, value: number): void {
  check.number(name, value)
  if ((value | 0) === value || value >>> 0 === value) return
  throw new PagingError('ERR_MODE', `${name} is ${value}, which is no 32-bit word`, { value })
}

/** Returns a table's IPA from TTBR, aligned to the table's size. */
function tableAddress(lo: number, hi: number, sizeLog2: number): number {
  const align = 2 ** Math.max(sizeLog2, 5)
  const address = (hi & 0xffff) * 2 ** 32 + (lo >>> 0)
  return address - (address % align)
}

/** TBI and TBID, in bit 0. */
function setTopByte(each: ArmHalf, ignored: number, dataOnly: number): void {
  each.topByteIgnored = (ignored & 1) !== 0
  each.fetchTopByteIgnored = each.topByteIgnored && (dataOnly & 1) === 0
}

function setHalf(each: ArmHalf, tsz: number, granule: number, lo: number, hi: number): void {
  const stride = STRIDE[granule]
  each.disabled = stride === undefined || tsz < 16 || tsz > (granule === 16 ? 47 : 48)
  each.granule = granule
  each.stride = stride ?? 9
  each.inputBits = 64 - tsz
  if (each.disabled) return
  // Levels count down to 3, whose lookup is right above the granule's offset.
  const levels = Math.ceil((each.inputBits - granule) / each.stride)
  each.level = 4 - levels
  each.table = tableAddress(lo, hi, each.inputBits - granule - (levels - 1) * each.stride + 3)
}
