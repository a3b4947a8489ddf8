/** The option ROM that has announced itself: the guest can change all of it, so it is read again at each use. */
import { PAGE_BYTES } from '@retrap/memory'
import type { PollMethod, VapicHost } from './host.ts'
import type { FoundInstruction } from './instructions.ts'
import {
  CALLS_SIGNATURE,
  FIELD_REAL_TPR,
  FIELD_SELF,
  FIELD_SHIFT,
  fixupOffsets,
  type Handlers,
  readStructure,
  RECORD_BYTES,
  RECORD_CALLS,
  RECORD_SHIFT,
  type RomStructure,
  STRUCTURE_BYTES,
  within,
} from './structure.ts'

/** ROMs begin at multiples of this, and their third byte counts blocks of this size. */
export const ROM_BLOCK = 512
/** MOV EAX, 1 and the three ways to poll. */
const POLL_PREFIX = [0xb8, 1, 0, 0, 0]
const POLLS: Readonly<Record<PollMethod, readonly number[]>> = {
  vmcall: [0x0f, 0x01, 0xc1],
  vmmcall: [0x0f, 0x01, 0xd9],
  // NOP; OUT 7Eh, EAX
  port: [0x90, 0xe7, 0x7e],
}
/** A ROM has two poll sites: for one processor, and for several. */
const POLL_SITES = 2

/** An announced ROM, with its structure inside. */
export class AnnouncedRom {
  /** Guest-physical address of its first byte. */
  readonly gpa: number
  readonly bytes: number
  /** Guest-physical address of the ROM's structure. */
  readonly structureGpa: number
  /** The structure as it was read last. */
  structure: RomStructure
  /** Linear address of the structure; 0: not known yet. */
  structureLinear: number
  /** Guest-physical address of the records; 0: not known yet. */
  areaGpa: number
  readonly #host: VapicHost

  private constructor(host: VapicHost, gpa: number, bytes: number, offset: number, structure: RomStructure) {
    this.#host = host
    this.gpa = gpa
    this.bytes = bytes
    this.structureGpa = gpa + offset
    this.structure = structure
    this.structureLinear = 0
    this.areaGpa = 0
  }

  /** @returns undefined without a ROM, or without a structure at this offset */
  static read(host: VapicHost, gpa: number, offset: number): AnnouncedRom | undefined {
    const header = new Uint8Array(3)
    if (!host.readPhysical(gpa, header)) return undefined
    const [first, second, blocks = 0] = header
    const bytes = blocks * ROM_BLOCK
    if (first !== 0x55 || second !== 0xaa || !within({ start: 0, end: bytes }, offset, STRUCTURE_BYTES)) {
      return undefined
    }
    const image = new Uint8Array(bytes)
    if (!host.readPhysical(gpa, image)) return undefined
    const structure = readStructure(image.subarray(offset))
    return structure === undefined ? undefined : new AnnouncedRom(host, gpa, bytes, offset, structure)
  }

  /** Reads the ROM from guest memory; undefined if unreadable. */
  #image(): Uint8Array | undefined {
    const image = new Uint8Array(this.bytes)
    return this.#host.readPhysical(this.gpa, image) ? image : undefined
  }

  /** Has the ROM mapped writable: whole pages. */
  mapWritable(): void {
    const start = this.gpa - (this.gpa % PAGE_BYTES)
    const end = Math.ceil((this.gpa + this.bytes) / PAGE_BYTES) * PAGE_BYTES
    this.#host.mapRomWritable(start, end - start)
  }

  /** Whether bytes lie in the ROM. */
  holds(gpa: number, bytes: number): boolean {
    return within({ start: this.gpa, end: this.gpa + this.bytes }, gpa, bytes)
  }

  /** Linear address of the ROM's first byte in the guest. */
  get linear(): number {
    return (this.structureLinear - (this.structureGpa - this.gpa)) >>> 0
  }

  /** Whether a linear address lies in the guest's mapping of the ROM. */
  holdsLinear(address: number): boolean {
    return this.structureLinear !== 0 && (address - this.linear) >>> 0 < this.bytes
  }

  /** Rewrites both poll sites for this processor, or none. @returns false if the rewritten code does not fit */
  rewritePolls(): boolean {
    const host = this.#host
    const image = this.#image()
    if (image === undefined) return false
    const wanted = POLLS[host.pollMethod]
    const sites: number[] = []
    for (let at = 0; at + 8 <= image.length; at++) {
      if (!POLL_PREFIX.every((byte, index) => image[at + index] === byte)) continue
      const tail = image.subarray(at + 5, at + 8)
      const known = Object.values(POLLS).some((poll) => poll.every((byte, index) => tail[index] === byte))
      if (known && wanted.some((byte, index) => tail[index] !== byte)) sites.push(at + 5)
    }
    if (sites.length !== 0 && sites.length !== POLL_SITES) return false
    for (const at of sites) {
      host.writePhysical(this.gpa + at, Uint8Array.from(wanted))
      host.dropCode(this.gpa + at, wanted.length)
    }
    return true
  }

  /**
   * Finds the ROM's linear address in the guest and relocates the addresses that the ROM contains.
   *
   * @param near - linear address of kernel code: the ROM is in the same 256 MiB
   * @param realTpr - linear address of the task priority register
   * @returns false if the ROM is not mapped at that address, or its structure points outside the ROM
   */
  locate(vcpu: number, near: number, realTpr: number): boolean {
    const linear = (this.structureGpa + (near & 0xf000_0000)) >>> 0
    if (this.#host.translate(vcpu, linear) !== this.structureGpa) return false
    const image = this.#image()
    if (image === undefined) return false
    const at = this.structureGpa - this.gpa
    const structure = readStructure(image.subarray(at))
    if (structure === undefined) return false
    // The base of the addresses: that of the ROM's first byte.
    const base = (structure.self - at) >>> 0
    const offsets = fixupOffsets(image, at, base)
    if (offsets === undefined) return false
    const before = image.slice()
    const view = new DataView(image.buffer)
    const move = (linear - structure.self) >>> 0
    if (move !== 0) {
      for (const offset of offsets) view.setUint32(offset, (view.getUint32(offset, true) + move) >>> 0, true)
    }
    view.setUint32(at + FIELD_SHIFT, RECORD_SHIFT, true)
    view.setUint32(at + FIELD_REAL_TPR, realTpr, true)
    const fixed = readStructure(image.subarray(at))
    if (fixed === undefined || view.getUint32(at + FIELD_SELF, true) !== linear) return false
    const area = (fixed.area - (linear - at)) >>> 0
    if (!within({ start: 0, end: image.length }, area, fixed.areaBytes)) return false
    // The records stay, as vCPUs are using them.
    this.#rewrite(before, image, 0, area)
    this.#rewrite(before, image, area + fixed.areaBytes, image.length)
    this.structure = fixed
    this.structureLinear = linear
    this.areaGpa = this.gpa + area
    return true
  }

  /** Writes the changed bytes of a part of the ROM back to guest memory. */
  #rewrite(before: Uint8Array, image: Uint8Array, start: number, end: number): void {
    let first = start
    while (first < end && before[first] === image[first]) first++
    let last = end
    while (last > first && before[last - 1] === image[last - 1]) last--
    if (first === last) return
    this.#host.writePhysical(this.gpa + first, image.subarray(first, last))
    this.#host.dropCode(this.gpa + first, last - first)
  }

  /**
   * Goes on with the addresses that a saved state has.
   *
   * @returns false if the records are not within the ROM
   */
  resume(structureLinear: number, areaGpa: number): boolean {
    if (areaGpa !== 0 && !this.holds(areaGpa, this.structure.areaBytes)) return false
    this.structureLinear = structureLinear
    this.areaGpa = areaGpa
    return true
  }

  /** Clears and so disables the records. */
  clearRecords(): void {
    if (this.areaGpa !== 0) this.#host.writePhysical(this.areaGpa, new Uint8Array(this.structure.areaBytes))
  }

  /** Returns the guest-physical address of a processor's record; undefined if the area is too small. */
  record(number: number): number | undefined {
    const offset = number << RECORD_SHIFT
    return this.structureLinear === 0 ||
      this.areaGpa === 0 ||
      number < 0 ||
      offset + RECORD_BYTES > this.structure.areaBytes
      ? undefined
      : this.areaGpa + offset
  }

  /** Returns the helper for an instruction, as a linear address; 0: no helper. */
  handlerFor(found: FoundInstruction): number {
    const handlers: Handlers = this.#host.vcpuCount === 1 ? this.structure.up : this.structure.mp
    const { handler } = found.row
    const address = handler === 'get' ? (handlers.get[found.register] ?? 0) : handlers[handler]
    const at = (address - this.linear) >>> 0
    // ESP has no helper, and a helper outside the ROM is none.
    if (address === 0 || !within({ start: 0, end: this.bytes }, at, 1)) return 0
    return this.#callsItself(at) ? 0 : address
  }

  /** The stock ROM's helper for EDI and several processors never returns: it calls itself. */
  #callsItself(at: number): boolean {
    const code = new Uint8Array(Math.min(16, this.bytes - at))
    if (!this.#host.readPhysical(this.gpa + at, code)) return true
    const view = new DataView(code.buffer)
    for (let i = 0; i + 5 <= code.length && code[i] !== 0xc3; i++) {
      if (code[i] === 0xe8 && view.getInt32(i + 1, true) === -(i + 5)) return true
    }
    return false
  }

  /** Number of calls of helpers; undefined if the ROM does not count. */
  helperCalls(): number | undefined {
    const signature = new Uint8Array(CALLS_SIGNATURE.length)
    if (
      !this.holds(this.structureGpa + STRUCTURE_BYTES, signature.length) ||
      !this.#host.readPhysical(this.structureGpa + STRUCTURE_BYTES, signature) ||
      CALLS_SIGNATURE.some((byte, index) => signature[index] !== byte)
    ) {
      return undefined
    }
    if (this.areaGpa === 0) return 0
    const { areaBytes } = this.structure
    if (!this.holds(this.areaGpa, areaBytes)) return undefined
    const area = new Uint8Array(areaBytes)
    if (!this.#host.readPhysical(this.areaGpa, area)) return undefined
    const view = new DataView(area.buffer)
    let calls = 0
    for (let at = RECORD_CALLS; at + 4 <= areaBytes; at += 1 << RECORD_SHIFT) calls += view.getUint32(at, true)
    return calls
  }
}
