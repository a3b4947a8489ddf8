import { type PixelFormat, Stateful } from '@retrap/device'

/** Numbers of the registers. */
export const DISPI = {
  id: 0,
  width: 1,
  height: 2,
  bitsPerPixel: 3,
  enable: 4,
  bank: 5,
  virtualWidth: 6,
  virtualHeight: 7,
  xOffset: 8,
  yOffset: 9,
  memory64K: 10,
} as const

const REGISTERS = 11
const FIRST_ID = 0xb0c0
const NEWEST_ID = 0xb0c5
const ENABLED = 0x01
const GET_CAPABILITIES = 0x02
const EIGHT_BIT_DAC = 0x20
const NO_CLEAR = 0x80
const BANK_BYTES = 0x1_0000
/** The largest mode; the size of memory limits modes further. */
const MOST_WIDTH = 2560
const MOST_HEIGHT = 1600
const MOST_BITS = 32

const FORMATS: Readonly<Record<number, PixelFormat>> = { 15: 'xrgb1555', 16: 'rgb565', 24: 'bgr888', 32: 'bgrx8888' }
const BITS_IN_MEMORY: Readonly<Record<number, number>> = { 4: 4, 8: 8, 15: 16, 16: 16, 24: 24, 32: 32 }

/**
 * The registers by which modes beyond VGA's are set: DISPI version 0xB0C5.
 *
 * Source: Bochs, "VBE DISPI interface" (vbe_display_api.txt).
 */
export class Dispi extends Stateful {
  /** Number of changes of the screen's appearance. */
  changes = 0
  /** The register that the guest has chosen at the index port. */
  index = 0
  readonly #registers = new Uint16Array(REGISTERS)
  readonly #memoryBytes: number
  readonly #clear: (bytes: number) => void

  /** @param clear - makes the first bytes of memory 0 */
  constructor(memoryBytes: number, clear: (bytes: number) => void) {
    super()
    this.#memoryBytes = memoryBytes
    this.#clear = clear
    this.keeps(
      {
        index: { save: (): number => this.index, restore: (index: number): void => void (this.index = index & 0xffff) },
        registers: this.#registers,
      },
      {
        settled: (): void => {
          this.#registers[DISPI.bank]! %= this.#memoryBytes / BANK_BYTES
          this.#limit()
          this.changes++
        },
      },
    )
    this.reset()
  }

  /** Whether a DISPI mode is on. */
  get enabled(): boolean {
    return (this.#registers[DISPI.enable]! & ENABLED) !== 0
  }

  get width(): number {
    return this.#registers[DISPI.width]!
  }

  get height(): number {
    return this.#registers[DISPI.height]!
  }

  get bitsPerPixel(): number {
    return this.#registers[DISPI.bitsPerPixel]!
  }

  /** Values of the DAC have eight bits. */
  get wideDac(): boolean {
    return (this.#registers[DISPI.enable]! & EIGHT_BIT_DAC) !== 0
  }

  /** Pixel format in memory; null for palette indices. */
  get format(): PixelFormat | null {
    return FORMATS[this.bitsPerPixel] ?? null
  }

  /** Bytes of memory from one row to the next. */
  get stride(): number {
    return (this.#registers[DISPI.virtualWidth]! * this.#memoryBits()) / 8
  }

  /** Offset of the picture in memory. */
  get start(): number {
    const registers = this.#registers
    return registers[DISPI.yOffset]! * this.stride + Math.floor((registers[DISPI.xOffset]! * this.#memoryBits()) / 8)
  }

  /** First byte of memory in the legacy window. */
  get bankOffset(): number {
    return this.enabled ? this.#registers[DISPI.bank]! * BANK_BYTES : 0
  }

  #memoryBits(): number {
    return BITS_IN_MEMORY[this.bitsPerPixel] ?? 8
  }

  /** Reads a register. */
  read(index: number): number {
    const registers = this.#registers
    if (index === DISPI.memory64K) return this.#memoryBytes / BANK_BYTES
    if ((registers[DISPI.enable]! & GET_CAPABILITIES) !== 0) {
      if (index === DISPI.width) return MOST_WIDTH
      if (index === DISPI.height) return MOST_HEIGHT
      if (index === DISPI.bitsPerPixel) return MOST_BITS
    }
    return registers[index] ?? 0
  }

  /** Writes a register. */
  write(index: number, value: number): void {
    const registers = this.#registers
    switch (index) {
      case DISPI.id:
        // Software writes the version that it knows, and reads it back to see whether it is supported.
        if (value >= FIRST_ID && value <= NEWEST_ID) registers[index] = value
        return
      case DISPI.width:
      case DISPI.height:
      case DISPI.bitsPerPixel:
      case DISPI.virtualWidth:
      case DISPI.xOffset:
      case DISPI.yOffset:
        registers[index] = value
        this.#limit()
        break
      case DISPI.bank:
        registers[index] = value % (this.#memoryBytes / BANK_BYTES)
        break
      case DISPI.enable:
        this.#enable(value)
        break
      default:
        return
    }
    this.changes++
  }

  #enable(value: number): void {
    const registers = this.#registers
    const before = this.enabled
    registers[DISPI.enable] = value
    if (!this.enabled || before) return
    registers[DISPI.virtualWidth] = 0
    registers[DISPI.xOffset] = 0
    registers[DISPI.yOffset] = 0
    this.#limit()
    if ((value & NO_CLEAR) === 0) this.#clear(this.height * this.stride)
  }

  /** Limits the guest's requested picture to memory. */
  #limit(): void {
    if (!this.enabled) return
    const registers = this.#registers
    if (BITS_IN_MEMORY[this.bitsPerPixel] === undefined) registers[DISPI.bitsPerPixel] = 8
    registers[DISPI.width] = between(8, registers[DISPI.width]! & ~7, MOST_WIDTH)
    registers[DISPI.virtualWidth] = between(this.width, registers[DISPI.virtualWidth]! & ~7, 0x7ff8)
    const rows = Math.floor(this.#memoryBytes / this.stride)
    registers[DISPI.virtualHeight] = Math.min(rows, 0xffff)
    registers[DISPI.height] = between(1, registers[DISPI.height]!, Math.min(MOST_HEIGHT, rows))
    if (this.#ends()) registers[DISPI.yOffset] = 0
    if (this.#ends()) registers[DISPI.xOffset] = 0
  }

  /** Whether the picture goes beyond the end of memory. */
  #ends(): boolean {
    return this.start + this.height * this.stride > this.#memoryBytes
  }

  override reset(): void {
    this.#registers.fill(0)
    this.#registers[DISPI.id] = NEWEST_ID
    this.index = 0
    this.changes++
  }
}

function between(least: number, value: number, most: number): number {
  return Math.max(least, Math.min(value, most))
}
