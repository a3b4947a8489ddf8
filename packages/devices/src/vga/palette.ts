import type { Dac } from './dac.ts'
import type { VgaRegisters } from './registers.ts'

/** Bit 7 of the attribute controller's mode: bits 5:4 of a colour come from the colour select register too. */
const SELECT_HALF = 0x80

/** The colours of pixels: the DAC's, and through the attribute controller the 16 of text and planar modes. */
export class Palette {
  /** Of pixels with eight bits, as 0x00RRGGBB. */
  readonly colours: Uint32Array = new Uint32Array(256)
  /** Of pixels with four bits. */
  readonly sixteen: Uint32Array = new Uint32Array(16)
  /** The eight dots of a CGA or planar word are looked up through these planes only. */
  planes = 15

  /** Reads the registers. */
  update(registers: VgaRegisters, dac: Dac): void {
    const { attribute } = registers
    const select = attribute[0x14]!
    const half = (attribute[0x10]! & SELECT_HALF) !== 0
    dac.colours(this.colours)
    this.planes = attribute[0x12]! & 15
    for (let i = 0; i < 16; i++) {
      const entry = attribute[i & this.planes]!
      const index = half ? ((select & 15) << 4) | (entry & 15) : ((select & 12) << 4) | (entry & 63)
      this.sixteen[i] = this.colours[index]!
    }
  }
}
