import { PAGE_BYTES } from '@retrap/memory'
import type { PollMethod, VapicHost, VapicRegisters } from '@retrap/vapic'
import { P2M_WRITE, P2mType } from '@retrap/p2m'
import type { X86Domain } from '../domain.ts'
import type { X86Vcpu } from '../vcpu.ts'

/** What the patcher's host has beside its domain. */
export interface VapicHostParts {
  readonly poll: PollMethod
  readonly mapRomWritable: (gpa: number, bytes: number) => void
  readonly unmapRom: () => void
  /** Registers of a vCPU at a report. */
  readonly registers: (vcpu: number) => VapicRegisters
  /** Has accesses to task priority registers reported, or not. */
  readonly report: (enabled: boolean) => void
  /** See {@link VapicHost.useRecord}. */
  readonly useRecord: (vcpu: number, gpa: number | undefined) => void
}

/** A domain as the TPR patcher sees it. */
export class DomainVapicHost implements VapicHost {
  readonly vcpuCount: number
  readonly pollMethod: PollMethod
  readonly #domain: X86Domain
  readonly #parts: VapicHostParts

  constructor(domain: X86Domain, parts: VapicHostParts) {
    this.#domain = domain
    this.#parts = parts
    this.vcpuCount = domain.vcpus.length
    this.pollMethod = parts.poll
  }

  #vcpu(id: number): X86Vcpu {
    return this.#domain.vcpus[id]!
  }

  registers(vcpu: number): VapicRegisters {
    return this.#parts.registers(vcpu)
  }

  translate(vcpu: number, address: number): number | undefined {
    const gpa = this.#vcpu(vcpu).linearToPhysical(address, 0)
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

  /** Applies something to each page's part of a range of linear addresses. @returns false where one is not mapped, or refuses */
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

  mapRomWritable(gpa: number, bytes: number): void {
    this.#parts.mapRomWritable(gpa, bytes)
  }

  unmapRom(): void {
    this.#parts.unmapRom()
  }

  reportTprAccesses(enabled: boolean): void {
    this.#parts.report(enabled)
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

  useRecord(vcpu: number, gpa: number | undefined): void {
    this.#parts.useRecord(vcpu, gpa)
  }

  *findWords(first: number, last: number): Iterable<{ gpa: number; value: number }> {
    const { p2m, memory } = this.#domain
    const { u32 } = memory
    for (const { gfn, mfn, order, rights, type } of p2m.leaves()) {
      if ((rights & P2M_WRITE) === 0 && type !== P2mType.RAM_LOGDIRTY) continue
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
