import { DeviceError } from '@retrap/device'

/** Saved form of {@link VgaRegisters}. */
export interface VgaRegistersState {
  readonly sequencer: Uint8Array
  readonly crtc: Uint8Array
  readonly graphics: Uint8Array
  readonly attribute: Uint8Array
  readonly sequencerIndex: number
  readonly crtcIndex: number
  readonly graphicsIndex: number
  readonly attributeIndex: number
  /** The next write of port 0x3C0 is data. */
  readonly attributeData: boolean
  readonly misc: number
  readonly featureControl: number
}

/** Bits that the registers keep; the rest reads as 0. */
const SEQUENCER = [0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0, 0, 0xff]
const GRAPHICS = [0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff, 0, 0, 0, 0, 0, 0, 0]
const ATTRIBUTE = [...Array.from({ length: 16 }, () => 0x3f), 0xef, 0xff, 0x3f, 0x0f, 0x0f]
const CRTC_REGISTERS = 0x19
/** The last one that the protection covers, and the bit of it that stays writable. */
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
export class VgaRegisters {
  readonly sequencer: Uint8Array = new Uint8Array(SEQUENCER.length)
  readonly crtc: Uint8Array = new Uint8Array(CRTC_REGISTERS)
  readonly graphics: Uint8Array = new Uint8Array(GRAPHICS.length)
  readonly attribute: Uint8Array = new Uint8Array(ATTRIBUTE.length)
  /** Counts the changes of what the screen looks like. */
  changes = 0
  misc = 0
  /** Bit 5 lets the palette reach the screen. */
  attributeIndex = 0
  #sequencerIndex = 0
  #crtcIndex = 0
  #graphicsIndex = 0
  #attributeData = false
  #featureControl = 0

  /** Whether the ports of the CRT controller are at 0x3D0, and not at 0x3B0. */
  get colour(): boolean {
    return (this.misc & 1) !== 0
  }

  /** Reads a port from 0x3C0 to 0x3CF that is not the DAC's. */
  read(port: number): number {
    switch (port) {
      case 0x3c0:
        return this.#attributeData ? 0 : this.attributeIndex
      case 0x3c1:
        return this.attribute[this.attributeIndex & 0x1f] ?? 0
      case 0x3c2:
        // A monitor is there.
        return 0x10
      case 0x3c4:
        return this.#sequencerIndex
      case 0x3c5:
        return this.sequencer[this.#sequencerIndex]!
      case 0x3ca:
        return this.#featureControl
      case 0x3cc:
        return this.misc
      case 0x3ce:
        return this.#graphicsIndex
      case 0x3cf:
        return this.graphics[this.#graphicsIndex]!
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
        this.misc = value & ~0x10
        break
      case 0x3c4:
        this.#sequencerIndex = value & 7
        return
      case 0x3c5:
        this.sequencer[this.#sequencerIndex] = value & SEQUENCER[this.#sequencerIndex]!
        break
      case 0x3ce:
        this.#graphicsIndex = value & 0x0f
        return
      case 0x3cf:
        this.graphics[this.#graphicsIndex] = value & GRAPHICS[this.#graphicsIndex]!
        break
      default:
        return
    }
    this.changes++
  }

  #writeAttribute(value: number): void {
    if (this.#attributeData) {
      const index = this.attributeIndex & 0x1f
      if (index < ATTRIBUTE.length) this.attribute[index] = value & ATTRIBUTE[index]!
    } else this.attributeIndex = value & 0x3f
    this.#attributeData = !this.#attributeData
  }

  /** A read of input status 1: the next write of port 0x3C0 is an index. */
  expectAttributeIndex(): void {
    this.#attributeData = false
  }

  /** Sets the feature control register, whose outputs are not connected. */
  writeFeatureControl(value: number): void {
    this.#featureControl = value & 0x0b
  }

  /** Reads the CRT controller's index (0) or data (1). */
  readCrtc(register: number): number {
    return register === 0 ? this.#crtcIndex : (this.crtc[this.#crtcIndex] ?? 0)
  }

  /** Writes the CRT controller's index (0) or data (1). */
  writeCrtc(register: number, value: number): void {
    if (register === 0) {
      this.#crtcIndex = value
      return
    }
    const index = this.#crtcIndex
    if (index >= CRTC_REGISTERS) return
    let kept = value
    if (index <= LAST_PROTECTED && (this.crtc[RETRACE_END]! & PROTECT) !== 0) {
      const writable = index === LAST_PROTECTED ? LINE_COMPARE_BIT : 0
      kept = (this.crtc[index]! & ~writable) | (value & writable)
    }
    this.crtc[index] = kept
    this.changes++
  }

  /** Power-on state. */
  reset(): void {
    for (const registers of [this.sequencer, this.crtc, this.graphics, this.attribute]) registers.fill(0)
    this.misc = 0
    this.attributeIndex = 0
    this.#sequencerIndex = 0
    this.#crtcIndex = 0
    this.#graphicsIndex = 0
    this.#attributeData = false
    this.#featureControl = 0
    this.changes++
  }

  /** Returns the state as plain data. */
  save(): VgaRegistersState {
    return {
      sequencer: this.sequencer.slice(),
      crtc: this.crtc.slice(),
      graphics: this.graphics.slice(),
      attribute: this.attribute.slice(),
      sequencerIndex: this.#sequencerIndex,
      crtcIndex: this.#crtcIndex,
      graphicsIndex: this.#graphicsIndex,
      attributeIndex: this.attributeIndex,
      attributeData: this.#attributeData,
      misc: this.misc,
      featureControl: this.#featureControl,
    }
  }

  /** Looks at a saved state. @throws DeviceError `ERR_STATE` */
  check(state: VgaRegistersState): void {
    for (const name of ['sequencer', 'crtc', 'graphics', 'attribute'] as const) {
      const found: unknown = state[name]
      if (found instanceof Uint8Array && found.length === this[name].length) continue
      throw new DeviceError('ERR_STATE', `vga: saved ${name} registers: expected ${this[name].length} bytes`)
    }
  }

  /** Takes over a state that `check` accepts. */
  restore(state: VgaRegistersState): void {
    state.sequencer.forEach((value, i) => (this.sequencer[i] = value & SEQUENCER[i]!))
    state.graphics.forEach((value, i) => (this.graphics[i] = value & GRAPHICS[i]!))
    state.attribute.forEach((value, i) => (this.attribute[i] = value & ATTRIBUTE[i]!))
    this.crtc.set(state.crtc)
    this.#sequencerIndex = state.sequencerIndex & 7
    this.#crtcIndex = state.crtcIndex & 0xff
    this.#graphicsIndex = state.graphicsIndex & 0x0f
    this.attributeIndex = state.attributeIndex & 0x3f
    this.#attributeData = state.attributeData
    this.misc = state.misc & ~0x10 & 0xff
    this.#featureControl = state.featureControl & 0x0b
    this.changes++
  }
}
