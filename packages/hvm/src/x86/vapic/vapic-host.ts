import { PAGE_BYTES } from '@retrap/memory'
import type { PollMethod, VapicHost } from '@retrap/vapic'
import { P2M_WRITE, P2mType } from '@retrap/p2m'
import type { X86Domain } from '../domain.ts'
import type { X86Vcpu } from '../vcpu.ts'

/** The part of the patcher's host that does not come from the domain. */
type VapicOwner = Pick<VapicHost, 'mapRomWritable' | 'unmapRom' | 'registers' | 'reportTprAccesses' | 'useRecord'>

/** A domain as the TPR patcher sees it. */
export class DomainVapicHost implements VapicHost {
  readonly vcpuCount: number
  readonly pollMethod: PollMethod
  readonly mapRomWritable: VapicHost['mapRomWritable']
  readonly unmapRom: VapicHost['unmapRom']
  readonly registers: VapicHost['registers']
  readonly reportTprAccesses: VapicHost['reportTprAccesses']
  readonly useRecord: VapicHost['useRecord']
  readonly #domain: X86Domain

  constructor(domain: X86Domain, poll: PollMethod, owner: VapicOwner) {
    this.#domain = domain
    this.vcpuCount = domain.vcpus.length
    this.pollMethod = poll
    this.mapRomWritable = owner.mapRomWritable
    this.unmapRom = owner.unmapRom
    this.registers = owner.registers
    this.reportTprAccesses = owner.reportTprAccesses
    this.useRecord = owner.useRecord
  }

  #vcpu(id: number): X86Vcpu {
    return this.#domain.vcpus[id]!
  }

  translate(vcpu: number, address: number): number | undefined {
    const gpa = this.#vcpu(vcpu).translation.linearToPhysical(address, 0)
    return gpa < 0 ? undefined : gpa
  }

  readLinear(vcpu: number, address: number, into: Uint8Array): boolean {
    const { guestMemory } = this.#domain
    const bytes = new Uint8Array(into.length)
    if (!this.#eachPage(vcpu, address, bytes, (gpa, part) => guestMemory.read(gpa, part))) return false
    into.set(bytes)
    return true
  }

  writeLinear(vcpu: number, address: number, from: Uint8Array): boolean {
    const { guestMemory } = this.#domain
    return (
      this.#eachPage(vcpu, address, from, (gpa, part) => this.#isWritable(gpa, part.length)) &&
      this.#eachPage(vcpu, address, from, (gpa, part) => guestMemory.write(gpa, part))
    )
  }

  /** Applies a function to each page's part of a range of linear addresses. @returns false if a page is unmapped, or refused */
  #eachPage(
    vcpu: number,
    address: number,
    bytes: Uint8Array,
    apply: (gpa: number, part: Uint8Array) => boolean,
  ): boolean {
    for (let done = 0; done < bytes.length;) {
      const at = (address + done) >>> 0
      const length = Math.min(bytes.length - done, PAGE_BYTES - (at % PAGE_BYTES))
      const gpa = this.translate(vcpu, at)
      if (gpa === undefined || !apply(gpa, bytes.subarray(done, done + length))) return false
      done += length
    }
    return true
  }

  readPhysical(gpa: number, into: Uint8Array): boolean {
    return this.#domain.guestMemory.read(gpa, into)
  }

  writePhysical(gpa: number, from: Uint8Array): boolean {
    return this.#isWritable(gpa, from.length) && this.#domain.guestMemory.write(gpa, from)
  }

  #isWritable(gpa: number, bytes: number): boolean {
    const { dirtyLogs } = this.#domain
    for (let at = gpa - (gpa % PAGE_BYTES); at < gpa + bytes; at += PAGE_BYTES)
      if (dirtyLogs.writable(at) < 0) return false
    return true
  }

  /** The patcher is called between turns: all vCPUs are stopped. */
  stopAll(): void {}

  resumeAll(): void {}

  dropCode(gpa: number, bytes: number): void {
    const { p2m, memory } = this.#domain
    for (let at = gpa; at < gpa + bytes;) {
      const length = Math.min(gpa + bytes - at, PAGE_BYTES - (at % PAGE_BYTES))
      const ma = p2m.translate(at)
      if (ma >= 0) memory.noteWrite(ma, length)
      at += length
    }
  }

  *findWords(first: number, last: number): Iterable<{ gpa: number; value: number }> {
    const { p2m, memory } = this.#domain
    const { u32 } = memory
    for (const { gfn, mfn, order, rights, type } of p2m.leaves()) {
      const isRam = (rights & P2M_WRITE) !== 0 || type === P2mType.RAM_LOGDIRTY || type === P2mType.RAM_SHARED
      if (!isRam) continue
      const from = (mfn * PAGE_BYTES) >>> 2
      const words = (PAGE_BYTES << order) >>> 2
      for (let i = 0; i < words; i++) {
        const value = u32[from + i]!
        if (value >= first && value <= last) yield { gpa: gfn * PAGE_BYTES + 4 * i, value }
      }
    }
  }

  pollInterrupts(vcpu: number): void {
    this.#vcpu(vcpu).updateEvents()
  }
}
