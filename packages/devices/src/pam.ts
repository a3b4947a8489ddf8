/** Registers PAM0 to PAM6. */
const COUNT = 7
const READ = 1
const WRITE = 2
const SEGMENT_BYTES = 0x4000
const FIRST_SEGMENT = 0xc_0000
const BIOS_BASE = 0xf_0000
const BIOS_BYTES = 0x1_0000

/** How a range below 1 MiB is backed: by RAM, or by the bus (ROM). */
export interface ShadowRange {
  /** Guest-physical address of the first byte. */
  readonly gpa: number
  /** Length, a multiple of 16 KiB. */
  readonly bytes: number
  /** Reads come from RAM. */
  readonly readRam: boolean
  /** Writes go to RAM. */
  readonly writeRam: boolean
}

/**
 * The programmable attribute map of a host bridge: seven bytes of configuration space, which say how 0xC0000 to 0xFFFFF
 * is backed. PAM0 has the BIOS area in its high half; the others have two segments each.
 *
 * Source: Intel 82441FX PMC data sheet (290549), "PAM—Programmable Attribute Map Registers"; Intel 3 Series data sheet
 * (316966), "PAM0—Programmable Attribute Map 0".
 */
export class PamRegisters {
  readonly #first: number
  readonly #value: (register: number) => number
  readonly #onShadow: ((range: ShadowRange) => void) | undefined
  readonly #last = new Uint8Array(COUNT)

  /**
   * @param first - place of PAM0 in configuration space
   * @param value - reads a byte of configuration space
   */
  constructor(first: number, value: (register: number) => number, onShadow?: (range: ShadowRange) => void) {
    this.#first = first
    this.#value = value
    this.#onShadow = onShadow
  }

  /** Follows a write to configuration bytes. */
  written(register: number, size: number): void {
    const end = Math.min(register + size, this.#first + COUNT)
    for (let at = Math.max(register, this.#first); at < end; at++) this.#apply(at)
  }

  /** Reports the attributes of each range. */
  report(): void {
    this.written(this.#first, COUNT)
  }

  /** Restores the values from before a reset to configuration space. */
  keep(config: Uint8Array): void {
    config.set(this.#last, this.#first)
  }

  #apply(register: number): void {
    const value = this.#value(register)
    const index = register - this.#first
    this.#last[index] = value
    if (index === 0) {
      this.#tell(BIOS_BASE, BIOS_BYTES, value >> 4)
      return
    }
    const gpa = FIRST_SEGMENT + 2 * SEGMENT_BYTES * (index - 1)
    this.#tell(gpa, SEGMENT_BYTES, value & 15)
    this.#tell(gpa + SEGMENT_BYTES, SEGMENT_BYTES, value >> 4)
  }

  #tell(gpa: number, bytes: number, attributes: number): void {
    this.#onShadow?.({ gpa, bytes, readRam: (attributes & READ) !== 0, writeRam: (attributes & WRITE) !== 0 })
  }
}
