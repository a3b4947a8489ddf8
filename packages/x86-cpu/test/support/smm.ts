import { Assembler, ax, cs, ds, word } from '@retrap/x86-assembler'
import type { BareCpu } from './bare-cpu.ts'

/** SMBASE after reset. */
export const SMBASE = 0x3_0000
/** A word that the default handler counts SMIs in. */
export const COUNT = 0x5000

/** Puts a handler of 16-bit code at SMBASE + 8000H; it counts, and ends with RSM, unless `build` says otherwise. */
export function smiHandler(pc: BareCpu, build: (asm: Assembler) => void = counts, base: number = SMBASE): void {
  const asm = new Assembler({ bits: 16, address: 0x8000 })
  build(asm)
  pc.load(base + 0x8000, asm.assemble().bytes)
}

/** Counts SMIs. */
export function counts(asm: Assembler): void {
  asm.inc(word(COUNT)).rsm()
}

/** Addresses the save area by DS: an offset of the manual's tables plus 8000H. */
export function areaSegment(asm: Assembler): Assembler {
  return asm.mov(ax, cs).mov(ds, ax)
}

/** A word of the save area, for `read32` and the like. */
export function area(offset: number, base: number = SMBASE): number {
  return base + offset
}
