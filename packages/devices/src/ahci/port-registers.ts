import { TWO_32 } from '@retrap/basics'
import type { Dma } from '@retrap/device'

// Registers of a port (AHCI 1.3.1, 3.3, "Port Registers").
export const CLB = 0x00
export const CLBU = 0x04
export const FB = 0x08
export const FBU = 0x0c
export const IS = 0x10
export const IE = 0x14
export const CMD = 0x18
export const TFD = 0x20
export const SIG = 0x24
export const SSTS = 0x28
export const SCTL = 0x2c
export const SERR = 0x30
export const SACT = 0x34
export const CI = 0x38

// Interrupt status.
export const DHRS: number = 1 << 0
export const PSS: number = 1 << 1
export const SDBS: number = 1 << 3
export const DPS: number = 1 << 5
export const PCS: number = 1 << 6
export const OFS: number = 1 << 24
export const IFS: number = 1 << 27
export const HBFS: number = 1 << 29
export const TFES: number = 1 << 30
export const INTERRUPTS: number = 0x7dc0_007f

// Command and status.
export const ST: number = 1 << 0
export const SUD: number = 1 << 1
export const POD: number = 1 << 2
export const CLO: number = 1 << 3
export const FRE: number = 1 << 4
export const CCS_SHIFT = 8
export const FR: number = 1 << 14
export const CR: number = 1 << 15
export const ATAPI: number = 1 << 24
export const CMD_BITS: number = ST | FRE | ATAPI | (1 << 25)

/** The registers of a port, at their offsets divided by 4, with the effects of writes. */
export class PortRegisters {
  readonly words: Uint32Array = new Uint32Array(16)
  readonly #dma: Dma
  readonly #mayMaster: () => boolean
  readonly #changed: () => void
  /** An error has ended the processing of commands until ST is cleared. */
  halted = false

  /**
   * @param mayMaster - whether the function may write memory
   * @param changed - the interrupt status or its enables have changed
   */
  constructor(dma: Dma, mayMaster: () => boolean, changed: () => void) {
    this.#dma = dma
    this.#mayMaster = mayMaster
    this.#changed = changed
  }

  get(register: number): number {
    return this.words[register >> 2]!
  }

  set(register: number, value: number): void {
    this.words[register >> 2] = value
    if (register === IS || register === IE) this.#changed()
  }

  clear(): void {
    this.words.fill(0)
  }

  get started(): boolean {
    return (this.get(CMD) & ST) !== 0
  }

  /** Sets bits of the interrupt status. */
  raise(bits: number): void {
    this.set(IS, this.get(IS) | bits)
  }

  /** Commands are processed no more. */
  halt(bits: number): void {
    this.halted = true
    this.raise(bits)
  }

  /** Writes a frame of the drive to memory, if the host accepts frames. */
  receive(at: number, frame: Uint8Array): void {
    if ((this.get(CMD) & FRE) === 0 || !this.#mayMaster()) return
    if (!this.#dma.write(this.get(FBU) * TWO_32 + this.get(FB) + at, frame)) this.halt(HBFS)
  }
}
