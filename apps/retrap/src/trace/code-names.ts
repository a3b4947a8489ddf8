import type { LinuxMemory } from '@retrap/symbols'
import { elfNames, functionAt, linuxNames, type Names } from '../profile/guest-names.ts'

/** Kernels are above: x86's of 32 bits begin here. */
const KERNELS = 0xc000_0000n
/** Addresses without a name after which memory is searched for a kernel's names: each search takes a part of a second. */
const SEARCHES: ReadonlySet<number> = new Set([1, 100, 10_000, 1_000_000])

/** Names of a guest's code while it executes: those of its ELF file, and those that Linux keeps in memory. */
export class CodeNames {
  #machine: LinuxMemory | undefined
  #file: readonly Names[] = []
  #linux: readonly Names[] = []
  /** Addresses that had no name. */
  #unnamed = 0

  /** Gives names to the code of another machine from now on. */
  attach(machine: LinuxMemory, kernel: Uint8Array | undefined): void {
    this.#machine = machine
    this.#file = elfNames(kernel)
    this.#linux = []
    this.#unnamed = 0
  }

  /** The function at a linear address; undefined: it has no name. */
  nameOf(address: bigint): string | undefined {
    const [name] = functionAt(this.#file, address) ?? functionAt(this.#linux, address) ?? []
    if (name !== undefined || address < KERNELS || this.#linux.length > 0) return name
    this.#unnamed++
    if (this.#machine === undefined || !SEARCHES.has(this.#unnamed)) return undefined
    this.#linux = linuxNames(this.#machine)
    return functionAt(this.#linux, address)?.[0]
  }
}
