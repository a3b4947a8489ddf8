import { type ArmRamWriter, VIRT } from '../../src/arm/index.ts'

const MIB = 1 << 20

/** RAM of an Arm board of a test: filled with garbage, as after an earlier boot, and strict about where it is written. */
export class ArmRam implements ArmRamWriter {
  readonly ramBytes: number
  readonly bytes: Uint8Array

  constructor(mebibytes: number) {
    this.ramBytes = mebibytes * MIB
    this.bytes = new Uint8Array(this.ramBytes).fill(0xcc)
  }

  write(gpa: number, from: Uint8Array): void {
    const at = gpa - VIRT.ram.base
    if (at < 0 || at + from.length > this.ramBytes)
      throw new Error(`loader wrote ${from.length} bytes at 0x${gpa.toString(16)}`)
    this.bytes.set(from, at)
  }

  at(gpa: number, bytes: number): Uint8Array {
    return this.bytes.subarray(gpa - VIRT.ram.base, gpa - VIRT.ram.base + bytes)
  }
}
