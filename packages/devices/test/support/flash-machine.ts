import type { AccessSize, DeviceContext, MemoryMode, OwnedMemory, OwnedMemoryOptions, Region } from '@retrap/device'
import { CfiFlash, type CfiFlashOptions } from '../../src/flash/index.ts'
import { FakeMachine } from './fake-machine.ts'

/** A machine with one flash: reads go to its memory or to its handler, as its mode says. */
export class FlashMachine {
  readonly flash: CfiFlash
  mode: MemoryMode = 'memory'
  bytes: Uint8Array = new Uint8Array(0)
  /** Ranges that were told to have changed. */
  readonly modified: string[] = []
  #options: OwnedMemoryOptions | undefined

  constructor(options: Omit<CfiFlashOptions, 'gpa'>) {
    this.flash = new CfiFlash({ gpa: 0xff00_0000, ...options })
    const context: DeviceContext = {
      ...new FakeMachine().context(),
      ownMemory: (memory) => this.#own(memory),
      mapMemory: () => ({}) as Region,
    }
    this.flash.attach(context)
  }

  #own(options: OwnedMemoryOptions): OwnedMemory {
    this.#options = options
    this.bytes = new Uint8Array(options.bytes)
    this.bytes.set(options.contents ?? [])
    return {
      view: this.bytes,
      setMode: (mode: MemoryMode) => void (this.mode = mode),
      modified: (offset: number, bytes: number) => this.modified.push(`${offset}+${bytes}`),
    } as unknown as OwnedMemory
  }

  /** A guest's read of a byte. */
  load(offset: number): number {
    if (this.mode === 'memory') return this.bytes[offset]!
    return this.#options?.handler?.read(offset, 1) as number
  }

  /** A guest's writes of bytes. */
  store(offset: number, ...values: readonly number[]): void | Promise<void> {
    let last: void | Promise<void> = undefined
    for (const value of values) last = this.#options?.handler?.write(offset, 1 as AccessSize, value)
    return last
  }

  /** A guest's read of four bytes, of a flash that is a device now. */
  load32(offset: number): number {
    return this.#options?.handler?.read(offset, 4) as number
  }

  /** A guest's writes of four bytes each. */
  store32(offset: number, ...values: readonly number[]): void {
    for (const value of values) void this.#options?.handler?.write(offset, 4, value)
  }

  /** A program of one byte, and Read Array. */
  program(offset: number, value: number): void {
    void this.store(offset, 0x10, value, 0xff)
  }

  erase(offset: number): void {
    void this.store(offset, 0x20, 0xd0, 0xff)
  }
}
