import { MIB } from '@retrap/basics'

/** The visible parts of SMRAM. */
export interface SmramSettings {
  /** Processors in system-management mode see the RAM behind the VGA window at 0xA0000. */
  readonly low: boolean
  /** Whether processors outside the mode see it at 0xFEDA0000 instead. */
  readonly high: boolean
  /** Whether all code sees SMRAM at 0xA0000. */
  readonly open: boolean
  /** Whether all code sees SMRAM at 0xFEDA0000. */
  readonly openHigh: boolean
  /** The last bytes of RAM below 4 GiB that only processors in system-management mode see; 0 for none. */
  readonly tsegBytes: number
}

// SMRAM control register (82441FX, 72H; 82Q35, 9DH).
const D_OPEN = 1 << 6
const D_CLS = 1 << 5
const D_LCK = 1 << 4
const G_SMRAME = 1 << 3
const BASE_SEGMENT = 2
const WRITABLE = D_OPEN | D_CLS | D_LCK | G_SMRAME
// Extended SMRAM control register (82Q35, 9EH).
const H_SMRAME = 1 << 7
const T_EN = 1 << 0
const TSEG_SIZE_SHIFT = 1
/** Fixed cacheability bits, by which firmware detects SMRAM. */
const EXTENDED_FIXED = 0x38
const EXTENDED_WRITABLE = H_SMRAME | (3 << TSEG_SIZE_SHIFT) | T_EN
/** TSEG by the size field; the fourth is the extended size. */
const TSEG_MIB = [1, 2, 8] as const

/** Values at power-on. */
export const SMRAM_INITIAL: number = BASE_SEGMENT
const EXTENDED_SMRAM_INITIAL = EXTENDED_FIXED

/**
 * The SMRAM control registers of a host bridge. D_LCK locks all but D_CLS until the next reset.
 *
 * Source: Intel 82441FX PMC data sheet (290549), "SMRAM—System Management RAM Control Register"; Intel 3 Series Express
 * Chipset Family data sheet (316966), "SMRAM" and "ESMRAMC".
 */
export class SmramRegisters {
  #control = SMRAM_INITIAL
  #extended = EXTENDED_SMRAM_INITIAL

  /** Takes the bytes that the guest has written. @returns the registers' values after that */
  write(control: number, extended: number = this.#extended): { readonly control: number; readonly extended: number } {
    if ((this.#control & D_LCK) !== 0) {
      this.#control = (this.#control & ~D_CLS) | (control & D_CLS)
    } else {
      this.#control = BASE_SEGMENT | (control & WRITABLE)
      this.#extended = EXTENDED_FIXED | (extended & EXTENDED_WRITABLE)
      if ((this.#control & D_LCK) !== 0) this.#control &= ~D_OPEN
    }
    return { control: this.#control, extended: this.#extended }
  }

  /** Restores both registers unchecked. */
  restore(control: number, extended: number = EXTENDED_FIXED): void {
    this.#control = control
    this.#extended = extended
  }

  /** @param extendedMib - MiB of the extended TSEG size */
  settings(extendedMib: number): SmramSettings {
    const on = (this.#control & G_SMRAME) !== 0
    const moved = (this.#extended & H_SMRAME) !== 0
    const open = (this.#control & D_OPEN) !== 0
    const size = TSEG_MIB[(this.#extended >> TSEG_SIZE_SHIFT) & 3] ?? extendedMib
    return {
      low: on && !moved,
      high: on && moved,
      open: open && !moved,
      openHigh: open && moved,
      tsegBytes: on && (this.#extended & T_EN) !== 0 ? size * MIB : 0,
    }
  }
}
