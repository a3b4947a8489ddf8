import { BASE_HI, BASE_LO, SVR } from './apic-layout.ts'
import { APIC_BASE_ADDRESS, APIC_BASE_BSP, APIC_BASE_EN, APIC_BASE_EXTD, SVR_ENABLE } from './apic-registers.ts'

/** The effect of a write of IA32_APIC_BASE. */
export type ApicBaseChange = 'refused' | 'moved' | 'mode' | 'off'

/** Bits 7:0 and 9 are reserved. */
const RESERVED = 0x2ff
const MODES: number = APIC_BASE_EN | APIC_BASE_EXTD

/**
 * The register IA32_APIC_BASE: mode and address of a local APIC.
 *
 * Source: Intel SDM vol. 3A, "Local APIC Status and Location", "x2APIC State Transitions".
 */
export class ApicBase {
  readonly #words: Int32Array
  readonly #bootstrap: boolean
  readonly #reservedLo: number
  readonly #reservedHi: number

  /** @param words - the local APIC's state */
  constructor(words: Int32Array, bootstrap: boolean, x2apic: boolean, physicalBits: number) {
    this.#words = words
    this.#bootstrap = bootstrap
    this.#reservedLo = RESERVED | (x2apic ? 0 : APIC_BASE_EXTD)
    this.#reservedHi = physicalBits >= 64 ? 0 : ~((1 << (physicalBits - 32)) - 1)
  }

  /** Power-on state: enabled, at its usual address. */
  reset(): void {
    this.#words[BASE_LO] = APIC_BASE_ADDRESS | APIC_BASE_EN | (this.#bootstrap ? APIC_BASE_BSP : 0) | 0
    this.#words[BASE_HI] = 0
  }

  get lo(): number {
    return this.#words[BASE_LO]! >>> 0
  }
  get hi(): number {
    return this.#words[BASE_HI]! >>> 0
  }

  /** Whether the APIC is on; software may have disabled it all the same. */
  get present(): boolean {
    return (this.#words[BASE_LO]! & APIC_BASE_EN) !== 0
  }
  /** Whether the APIC is on, by this register and by the spurious-vector register. */
  get enabled(): boolean {
    return this.present && (this.#words[SVR]! & SVR_ENABLE) !== 0
  }
  get x2apic(): boolean {
    return (this.#words[BASE_LO]! & APIC_BASE_EXTD) !== 0
  }
  /** Whether the register page is decoded. */
  get pageEnabled(): boolean {
    return (this.#words[BASE_LO]! & MODES) === APIC_BASE_EN
  }
  /** Guest-physical address of the register page. */
  get pageAddress(): number {
    return this.hi * 2 ** 32 + ((this.lo & ~0xfff) >>> 0)
  }

  /** Whether an address lies in the page, and the page is decoded. Asked for every access of a guest to a device. */
  decodes(gpa: number): boolean {
    // Most addresses differ in the low word: the rest is apart, so that this much is inlined everywhere.
    return ((gpa ^ this.#words[BASE_LO]!) & ~0xfff) === 0 && this.#isOwn(gpa)
  }

  #isOwn(gpa: number): boolean {
    const high = gpa < 2 ** 32 ? 0 : Math.floor(gpa / 2 ** 32)
    return this.pageEnabled && high === this.#words[BASE_HI]! >>> 0
  }

  /** Writes the register, unless a bit is reserved or the transition does not exist. */
  write(lo: number, hi: number): ApicBaseChange {
    if ((lo & this.#reservedLo) !== 0 || (hi & this.#reservedHi) !== 0) return 'refused'
    const old = this.#words[BASE_LO]! & MODES
    const next = lo & MODES
    if (next === APIC_BASE_EXTD) return 'refused'
    if (old === MODES && next === APIC_BASE_EN) return 'refused'
    if (old === 0 && next === MODES) return 'refused'
    this.#words[BASE_LO] = lo
    this.#words[BASE_HI] = hi
    if (next === old) return 'moved'
    return next === 0 ? 'off' : 'mode'
  }

  /** Takes a saved value, whatever it is. */
  restore(lo: number, hi: number): void {
    this.#words[BASE_LO] = lo
    this.#words[BASE_HI] = hi
  }
}
