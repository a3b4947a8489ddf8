import { pcMemoryMap, type GuestMemoryWriter, type PcMemoryMap } from '../../src/loaders/index.ts'

const MIB = 1 << 20
const GARBAGE = 0xcc

/** Guest RAM of a test: filled with garbage, as after an earlier boot, and strict about where it is written. */
export class GuestRam implements GuestMemoryWriter {
  readonly map: PcMemoryMap
  readonly ramBytes: number
  readonly e820: PcMemoryMap['e820']
  readonly bytes: Uint8Array
  readonly view: DataView

  constructor(mebibytes: number) {
    this.ramBytes = mebibytes * MIB
    this.map = pcMemoryMap(this.ramBytes)
    this.e820 = this.map.e820
    this.bytes = new Uint8Array(Math.min(this.map.lowRamBytes, 64 * MIB)).fill(GARBAGE)
    this.view = new DataView(this.bytes.buffer)
  }

  write(gpa: number, from: Uint8Array): void {
    const home = this.e820.find((e) => e.type === 1 && gpa >= e.gpa && gpa + from.length <= e.gpa + e.bytes)
    if (home === undefined && from.length > 0)
      throw new Error(`loader wrote ${from.length} bytes at 0x${gpa.toString(16)}`)
    if (gpa + from.length <= this.bytes.length) this.bytes.set(from, gpa)
  }

  /** Whether nothing was written; all at once, since a callback for each byte takes longer than the loader. */
  get isUntouched(): boolean {
    return Buffer.compare(this.bytes, new Uint8Array(this.bytes.length).fill(GARBAGE)) === 0
  }

  u16(gpa: number): number {
    return this.view.getUint16(gpa, true)
  }

  u32(gpa: number): number {
    return this.view.getUint32(gpa, true)
  }

  u64(gpa: number): number {
    return Number(this.view.getBigUint64(gpa, true))
  }

  text(gpa: number): string {
    let end = gpa
    while (this.bytes[end] !== 0) end++
    return String.fromCharCode(...this.bytes.subarray(gpa, end))
  }
}
