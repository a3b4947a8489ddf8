import { Stateful } from '@retrap/device'

/** Bits that these registers keep. */
const KEPT = {
  sequencerIndex: 0x07,
  crtcIndex: 0xff,
  graphicsIndex: 0x0f,
  attributeIndex: 0x3f,
  misc: 0xef,
  featureControl: 0x0b,
}

/** Bits that the registers keep; the rest reads as 0. */
const SEQUENCER = [0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0, 0, 0xff]
const GRAPHICS = [0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff, 0, 0, 0, 0, 0, 0, 0]
const ATTRIBUTE = [...Array.from({ length: 16 }, () => 0x3f), 0xef, 0xff, 0x3f, 0x0f, 0x0f]
const CRTC_REGISTERS = 0x19
/** The last protected register, and its bit that stays writable. */
const LAST_PROTECTED = 7
const LINE_COMPARE_BIT = 0x10
const PROTECT = 0x80
const RETRACE_END = 0x11

/**
 * The indexed registers of a VGA: sequencer, CRT controller, graphics controller and attribute controller.
 *
 * Sources: IBM Personal System/2 Hardware Interface Technical Reference, "Video Subsystem", "Registers"; FreeVGA Project,
 * "VGA/SVGA Video Programming".
 */
export class VgaRegisters extends Stateful {
  readonly sequencer: Uint8Array = new Uint8Array(SEQUENCER.length)
  readonly crtc: Uint8Array = new Uint8Array(CRTC_REGISTERS)
  readonly graphics: Uint8Array = new Uint8Array(GRAPHICS.length)
  readonly attribute: Uint8Array = new Uint8Array(ATTRIBUTE.length)
  /** Number of changes of the screen's appearance. */
  changes = 0
  readonly #r = this.keeps(
    {
      sequencerIndex: 0,
      crtcIndex: 0,
      graphicsIndex: 0,
      attributeIndex: 0,
      /** The next write of port 0x3C0 is data. */
      attributeData: false,
      misc: 0,
      featureControl: 0,
      sequencer: this.sequencer,
      crtc: this.crtc,
      graphics: this.graphics,
      attribute: this.attribute,
    },
    {
      raw: ['sequencer', 'crtc', 'graphics', 'attribute'],
      settled: (): void => {
        for (const name of Object.keys(KEPT) as (keyof typeof KEPT)[]) this.#r[name] &= KEPT[name]
        SEQUENCER.forEach((mask, i) => (this.sequencer[i]! &= mask))
        GRAPHICS.forEach((mask, i) => (this.graphics[i]! &= mask))
        ATTRIBUTE.forEach((mask, i) => (this.attribute[i]! &= mask))
        this.changes++
      },
    },
  )

  get misc(): number {
    return this.#r.misc
  }

  /** Bit 5 lets the palette reach the screen. */
  get attributeIndex(): number {
    return this.#r.attributeIndex
  }

  /** Whether the ports of the CRT controller are at 0x3D0, and not at 0x3B0. */
  get colour(): boolean {
    return (this.misc & 1) !== 0
  }

  /** Reads a port from 0x3C0 to 0x3CF that is not the DAC's. */
  read(port: number): number {
    switch (port) {
      case 0x3c0:
        return this.#r.attributeData ? 0 : this.attributeIndex
      case 0x3c1:
        return this.attribute[this.attributeIndex & 0x1f] ?? 0
      case 0x3c2:
        // A monitor is connected.
        return 0x10
      case 0x3c4:
        return this.#r.sequencerIndex
      case 0x3c5:
        return this.sequencer[this.#r.sequencerIndex]!
      case 0x3ca:
        return this.#r.featureControl
      case 0x3cc:
        return this.misc
      case 0x3ce:
        return this.#r.graphicsIndex
      case 0x3cf:
        return this.graphics[this.#r.graphicsIndex]!
      default:
        return 0xff
    }
  }

  /** Writes such a port. */
  write(port: number, value: number): void {
    switch (port) {
      case 0x3c0:
        this.#writeAttribute(value)
        break
      case 0x3c2:
        this.#r.misc = value & KEPT.misc
        break
      case 0x3c4:
        this.#r.sequencerIndex = value & KEPT.sequencerIndex
        return
      case 0x3c5:
        this.sequencer[this.#r.sequencerIndex] = value & SEQUENCER[this.#r.sequencerIndex]!
        break
      case 0x3ce:
        this.#r.graphicsIndex = value & KEPT.graphicsIndex
        return
      case 0x3cf:
        this.graphics[this.#r.graphicsIndex] = value & GRAPHICS[this.#r.graphicsIndex]!
        break
      default:
        return
    }
    this.changes++
  }

  #writeAttribute(value: number): void {
    if (this.#r.attributeData) {
      const index = this.attributeIndex & 0x1f
      if (index < ATTRIBUTE.length) this.attribute[index] = value & ATTRIBUTE[index]!
    } else this.#r.attributeIndex = value & KEPT.attributeIndex
    this.#r.attributeData = !this.#r.attributeData
  }

  /** A read of input status 1: the next write of port 0x3C0 is an index. */
  expectAttributeIndex(): void {
    this.#r.attributeData = false
  }

  /** Sets the feature control register, whose outputs are not connected. */
  writeFeatureControl(value: number): void {
    this.#r.featureControl = value & KEPT.featureControl
  }

  /** Reads the CRT controller's index (0) or data (1). */
  readCrtc(register: number): number {
    return register === 0 ? this.#r.crtcIndex : (this.crtc[this.#r.crtcIndex] ?? 0)
  }

  /** Writes the CRT controller's index (0) or data (1). */
  writeCrtc(register: number, value: number): void {
    if (register === 0) {
      this.#r.crtcIndex = value
      return
    }
    const index = this.#r.crtcIndex
    if (index >= CRTC_REGISTERS) return
    let kept = value
    if (index <= LAST_PROTECTED && (this.crtc[RETRACE_END]! & PROTECT) !== 0) {
      const writable = index === LAST_PROTECTED ? LINE_COMPARE_BIT : 0
      kept = (this.crtc[index]! & ~writable) | (value & writable)
    }
    this.crtc[index] = kept
    this.changes++
  }
}

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
