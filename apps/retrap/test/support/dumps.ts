/** Memory dumps for tests. */

/** Plain memory with 32- or 64-bit words stored at addresses. */
export class DumpMemory {
  readonly bytes: Uint8Array
  readonly #view: DataView

  constructor(length: number) {
    this.bytes = new Uint8Array(length)
    this.#view = new DataView(this.bytes.buffer)
  }

  store32(at: number, ...values: readonly number[]): this {
    values.forEach((value, i) => this.#view.setUint32(at + 4 * i, value, true))
    return this
  }

  store64(at: number, ...values: readonly bigint[]): this {
    values.forEach((value, i) => this.#view.setBigUint64(at + 8 * i, value, true))
    return this
  }
}

/** Four-level tables at 0x1000: 2 MiB at 0 by one page, and three pages of kernel at the top's 1 GiB. */
export function fourLevelMemory(): DumpMemory {
  return new DumpMemory(0x8000)
    .store64(0x1000, 0x2027n)
    .store64(0x1ff8, 0x3023n)
    .store64(0x2000, 0x4027n)
    .store64(0x4000, 0x60_00e7n)
    .store64(0x3ff0, 0x5023n)
    .store64(0x5040, 0x6023n)
    .store64(0x6000, 0x8000_0000_0100_0163n, 0x8000_0000_0100_1163n, 0x100_5121n)
}

export interface DumpSegment {
  readonly gpa: number
  readonly bytes: Uint8Array
}

/** Control registers for QEMU's note: CR0 to CR4. */
export type ControlRegisters = readonly [cr0: bigint, cr1: bigint, cr2: bigint, cr3: bigint, cr4: bigint]

/** An ELF core file as QEMU's dump-guest-memory writes it. */
export function elfCore(
  bits: 32 | 64,
  segments: readonly DumpSegment[],
  cpus: readonly ControlRegisters[] = [],
  machine: number = bits === 64 ? 62 : 3,
): Uint8Array {
  const wide = bits === 64
  const [headBytes, entryBytes] = wide ? [64, 56] : [52, 32]
  const note = new Uint8Array(cpus.length * (20 + 440))
  const notes = new DataView(note.buffer)
  cpus.forEach((registers, i) => {
    const at = i * (20 + 440)
    notes.setUint32(at, 5, true)
    notes.setUint32(at + 4, 440, true)
    note.set(new TextEncoder().encode('QEMU\0'), at + 12)
    notes.setUint32(at + 20, 1, true)
    notes.setUint32(at + 24, 440, true)
    registers.forEach((value, n) => notes.setBigUint64(at + 20 + 392 + 8 * n, value, true))
  })
  const parts = [{ type: 4, gpa: 0, bytes: note }, ...segments.map((segment) => ({ type: 1, ...segment }))]
  const start = headBytes + parts.length * entryBytes
  const file = new Uint8Array(start + parts.reduce((sum, { bytes }) => sum + bytes.length, 0))
  const view = new DataView(file.buffer)
  const word = (at: number, value: number): void =>
    wide ? view.setBigUint64(at, BigInt(value), true) : view.setUint32(at, value, true)
  file.set([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1])
  view.setUint16(16, 4, true)
  view.setUint16(18, machine, true)
  word(wide ? 32 : 28, headBytes)
  view.setUint16(wide ? 54 : 42, entryBytes, true)
  view.setUint16(wide ? 56 : 44, parts.length, true)
  let offset = start
  parts.forEach(({ type, gpa, bytes }, i) => {
    const at = headBytes + i * entryBytes
    view.setUint32(at, type, true)
    word(at + (wide ? 8 : 4), offset)
    word(at + (wide ? 24 : 12), gpa)
    word(at + (wide ? 32 : 16), bytes.length)
    file.set(bytes, offset)
    offset += bytes.length
  })
  return file
}

/** A LiME file. */
export function limeFile(segments: readonly DumpSegment[]): Uint8Array {
  const file = new Uint8Array(segments.reduce((sum, { bytes }) => sum + 32 + bytes.length, 0))
  const view = new DataView(file.buffer)
  let at = 0
  for (const { gpa, bytes } of segments) {
    view.setUint32(at, 0x4c69_4d45, true)
    view.setUint32(at + 4, 1, true)
    view.setBigUint64(at + 8, BigInt(gpa), true)
    view.setBigUint64(at + 16, BigInt(gpa + bytes.length - 1), true)
    file.set(bytes, at + 32)
    at += 32 + bytes.length
  }
  return file
}
