import { type MachineMemory, PAGE_BYTES } from '@retrap/memory'
import { ArmCpuError } from './errors.ts'
import type { ArmHost, ArmTranslation } from './host.ts'
import { FSC_TRANSLATION } from './syndrome.ts'

/** The plainest world for a processor: RAM at one address, and nothing else. Other addresses give translation faults. */
export class FlatHost implements ArmHost {
  /** Machine memory. */
  readonly memory: MachineMemory
  /** Address of the first byte of RAM, below 2^32. */
  readonly start: number
  /** Bytes of RAM. */
  readonly bytes: number
  readonly #ma: number

  /**
   * @param start - address of the first byte of RAM: a multiple of 4096 below 2^32
   * @param bytes - of RAM, a multiple of 4096, not 0
   * @throws ArmCpuError `ERR_RAM` if these make no sense
   * @throws MemoryError if machine memory has no room for it
   */
  constructor(memory: MachineMemory, start: number, bytes: number) {
    const fits = (value: number): boolean => Number.isInteger(value) && value >= 0 && value % PAGE_BYTES === 0
    if (!fits(start) || !fits(bytes) || bytes === 0 || start + bytes > 2 ** 32) {
      throw new ArmCpuError('ERR_RAM', `RAM of ${bytes} bytes at ${start}: expected whole pages below 2^32`)
    }
    this.memory = memory
    this.start = start
    this.bytes = bytes
    this.#ma = memory.allocate(bytes, PAGE_BYTES, 'RAM')
  }

  /** Machine address of an address of RAM; −1 outside. */
  ramAddress(address: number): number {
    return address >= this.start && address < this.start + this.bytes ? this.#ma + address - this.start : -1
  }

  /**
   * Writes RAM as a device does, so that decoded code of it dies.
   *
   * @throws MemoryError if some byte lies outside machine memory
   */
  load(address: number, bytes: Uint8Array): void {
    this.memory.write(this.ramAddress(address), bytes)
  }

  /** Finds an address in RAM. */
  translate(lo: number, hi: number, _access: number, into: ArmTranslation): boolean {
    into.ma = hi === 0 ? this.ramAddress(lo) : -1
    into.writable = true
    into.cacheable = true
    into.faultStatus = FSC_TRANSLATION | 3
    return into.ma >= 0
  }
}
