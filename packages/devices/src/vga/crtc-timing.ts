import type { VgaRegisters } from './registers.ts'

/** Position of the beam: bits of input status 1. */
const NOT_DISPLAYING = 0x01
const VERTICAL_RETRACE = 0x08
/** Dot clocks by bits 3:2 of the miscellaneous output register; 2 and 3 are external clocks, which are absent. */
const DOT_NS = [1000 / 25.175, 1000 / 28.322]

/** Number of displayed lines, at least 1. */
export function displayedLines({ crtc }: VgaRegisters): number {
  return (crtc[0x12]! | ((crtc[7]! & 0x02) << 7) | ((crtc[7]! & 0x40) << 3)) + 1
}

/** Returns the line after which the picture restarts at the beginning of memory. */
export function lineCompare({ crtc }: VgaRegisters): number {
  return crtc[0x18]! | ((crtc[7]! & 0x10) << 4) | ((crtc[9]! & 0x40) << 3)
}

/** Dots of a character, before they are doubled. */
export function characterDots({ sequencer }: VgaRegisters): 8 | 9 {
  return (sequencer[1]! & 1) !== 0 ? 8 : 9
}

/** Whether each dot takes two clocks. */
export function doubledDots({ sequencer }: VgaRegisters): boolean {
  return (sequencer[1]! & 8) !== 0
}

function totalLines({ crtc }: VgaRegisters): number {
  return (crtc[6]! | ((crtc[7]! & 0x01) << 8) | ((crtc[7]! & 0x20) << 4)) + 2
}

function lineNs(registers: VgaRegisters): number {
  const dotNs = (DOT_NS[(registers.misc >> 2) & 3] ?? DOT_NS[0])! * (doubledDots(registers) ? 2 : 1)
  return (registers.crtc[0]! + 5) * characterDots(registers) * dotNs
}

/** Duration of a frame. */
export function frameNs(registers: VgaRegisters): number {
  return totalLines(registers) * lineNs(registers)
}

/**
 * Input status 1 at a time.
 *
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, "Video Subsystem", "Input Status Register 1".
 */
export function inputStatus(registers: VgaRegisters, ns: number): number {
  const { crtc } = registers
  const line = lineNs(registers)
  const lines = totalLines(registers)
  const at = ns % (lines * line)
  const row = Math.floor(at / line)
  // A retrace programmed beyond the last line begins in this line, so that software that waits for it continues.
  const start = Math.min(crtc[0x10]! | ((crtc[7]! & 0x04) << 6) | ((crtc[7]! & 0x80) << 2), lines - 1)
  const length = (crtc[0x11]! - start) & 15 || 16
  const character = (at - row * line) / (line / (crtc[0]! + 5))
  const displaying = row < displayedLines(registers) && character <= crtc[1]!
  return (displaying ? 0 : NOT_DISPLAYING) | (row >= start && row < start + length ? VERTICAL_RETRACE : 0)
}
