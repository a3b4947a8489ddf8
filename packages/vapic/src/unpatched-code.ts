import { PAGE_BYTES } from '@retrap/memory'
import type { AnnouncedRom } from './announced-rom.ts'
import type { VapicHost } from './host.ts'

/** A range of guest-physical memory. */
interface Gpas {
  readonly start: number
  readonly end: number
}

/**
 * Looks for code that vCPUs execute now or will return to, at one moment with all vCPUs stopped.
 *
 * Return addresses are looked for in all of the guest's RAM, because an interrupted thread's stack may be anywhere.
 */
export class UnpatchedCode {
  readonly #host: VapicHost
  readonly #rom: AnnouncedRom
  /** Next instructions of the vCPUs. */
  readonly #next: readonly number[]
  /** Memory whose words are no return addresses. */
  readonly #dead: readonly Gpas[]

  constructor(host: VapicHost, rom: AnnouncedRom) {
    this.#host = host
    this.#rom = rom
    const vcpus = Array.from({ length: host.vcpuCount }, (_, vcpu) => ({ vcpu, ...host.registers(vcpu) }))
    this.#next = vcpus.map(({ eip }) => eip)
    // The ROM's structure and operands hold addresses in it.
    this.#dead = [{ start: rom.gpa, end: rom.gpa + rom.bytes }, ...vcpus.flatMap((each) => this.#below(each))]
  }

  /** Returns the parts, on two pages, of the 4 KiB below a stack pointer: returned calls left their addresses in them. */
  #below({ vcpu, esp }: { vcpu: number; esp: number }): Gpas[] {
    const onPage = esp % PAGE_BYTES
    return [
      { first: esp - onPage, bytes: onPage },
      { first: esp - PAGE_BYTES, bytes: PAGE_BYTES - onPage },
    ].flatMap(({ first, bytes }) => {
      const start = first < 0 || bytes === 0 ? undefined : this.#host.translate(vcpu, first)
      return start === undefined ? [] : [{ start, end: start + bytes }]
    })
  }

  /** Yields words of the guest's RAM in a range of values, except dead ones. */
  *#words(first: number, last: number): Iterable<number> {
    for (const { gpa, value } of this.#host.findWords(first, last)) {
      if (!this.#dead.some(({ start, end }) => gpa >= start && gpa < end)) yield value
    }
  }

  /** Returns the given addresses from which vCPUs go on, now or later. */
  returningTo(addresses: ReadonlySet<number>): ReadonlySet<number> {
    if (addresses.size === 0) return addresses
    const all = [...addresses]
    const going = new Set(this.#next)
    // One range covers all sites, which are few and close together.
    const first = all.reduce((a, b) => Math.min(a, b))
    const last = all.reduce((a, b) => Math.max(a, b))
    for (const value of this.#words(first, last)) if (addresses.has(value)) going.add(value)
    return going
  }

  /** Counts the vCPUs, and the return addresses, in helpers. */
  helpersInUse(): number {
    const rom = this.#rom
    if (rom.structureLinear === 0) return 0
    let count = this.#next.filter((eip) => rom.holdsLinear(eip)).length
    for (const _ of this.#words(rom.linear, rom.linear + rom.bytes - 1)) count++
    return count
  }
}
