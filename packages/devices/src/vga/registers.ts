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
