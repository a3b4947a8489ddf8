import {
  DeviceError,
  MEMORY_PAGE_BYTES,
  type MemoryMode,
  type OwnedMemory,
  type OwnedMemoryOptions,
  type RangeHandler,
} from '@retrap/device'
import { hex } from '@retrap/device/host'
import { DEAD_HANDLER, type ShownMemory } from '@retrap/ioreq'
import type { DevicePlatform, MemoryPlacement, PlatformMemory } from './platform.ts'

const MAX_BYTES = 2 ** 31

/** Memory of one model: checks the model's arguments, and passes them on to the machine. */
export class ModelOwnedMemory implements OwnedMemory {
  readonly name: string
  readonly bytes: number
  readonly handler: RangeHandler
  readonly #device: string
  readonly #memory: PlatformMemory
  #mode: MemoryMode
  #logged = false
  #freed = false

  /** @throws DeviceError `ERR_INVALID`, `ERR_PERMISSION`, `ERR_NO_SPACE`, `ERR_EXISTS` */
  constructor(platform: DevicePlatform, device: string, options: OwnedMemoryOptions) {
    checkOptions(device, options)
    if (platform.ownMemory === undefined) {
      throw new DeviceError('ERR_PERMISSION', `${device}: this machine has no memory for device models`)
    }
    const { handler, ...rest } = options
    this.name = options.name
    this.bytes = options.bytes
    this.handler = handler ?? DEAD_HANDLER
    this.#device = device
    this.#mode = options.mode ?? 'memory'
    this.#memory = platform.ownMemory(device, { ...rest, trapsWrites: handler !== undefined })
  }

  get mode(): MemoryMode {
    return this.#mode
  }

  get view(): Uint8Array | null {
    return this.#freed ? null : this.#memory.view
  }

  setMode(mode: MemoryMode): void {
    if (mode !== 'memory' && mode !== 'trapped') {
      throw new DeviceError('ERR_INVALID', `${this.#who()}: mode ${String(mode)}: expected memory or trapped`)
    }
    this.#check()
    if (mode === this.#mode) return
    this.#mode = mode
    this.#memory.setMode(mode)
  }

  read(offset: number, into: Uint8Array): void {
    this.#check(offset, into.length)
    this.#memory.read(offset, into)
  }

  write(offset: number, from: Uint8Array): void {
    this.#check(offset, from.length)
    this.#memory.write(offset, from)
  }

  modified(offset: number, bytes: number): void {
    this.#check(offset, bytes)
    if (bytes > 0) this.#memory.modified(offset, bytes)
  }

  async readAsync(offset: number, into: Uint8Array): Promise<void> {
    this.#check(offset, into.length)
    if (this.#memory.readAsync === undefined) this.#memory.read(offset, into)
    else await this.#memory.readAsync(offset, into)
  }

  async writeAsync(offset: number, from: Uint8Array): Promise<void> {
    this.#check(offset, from.length)
    if (this.#memory.writeAsync === undefined) this.#memory.write(offset, from)
    else await this.#memory.writeAsync(offset, from)
  }

  logWrites(on: boolean): void {
    this.#check()
    if (on === this.#logged) return
    this.#logged = on
    this.#memory.logWrites(on)
  }

  takeDirty(offset: number, bytes: number, into: Uint32Array): number {
    this.#checkDirty(offset, bytes, into)
    return this.#memory.takeDirty(offset, bytes, into)
  }

  async takeDirtyAsync(offset: number, bytes: number, into: Uint32Array): Promise<number> {
    this.#checkDirty(offset, bytes, into)
    if (this.#memory.takeDirtyAsync === undefined) return this.#memory.takeDirty(offset, bytes, into)
    return await this.#memory.takeDirtyAsync(offset, bytes, into)
  }

  #checkDirty(offset: number, bytes: number, into: Uint32Array): void {
    this.#check(offset, bytes)
    if (!this.#logged)
      throw new DeviceError('ERR_INVALID', `${this.#who()}: writes are not logged: call logWrites(true) first`)
    const words = Math.ceil(bytes / MEMORY_PAGE_BYTES / 32)
    if (offset % MEMORY_PAGE_BYTES !== 0 || bytes === 0 || into.length < words) {
      throw new DeviceError(
        'ERR_INVALID',
        `${this.#who()}: dirty pages of ${bytes} bytes at ${hex(offset)} in ${into.length} words: expected whole pages, and ${words} words`,
      )
    }
  }

  #who(): string {
    return `${this.#device}: memory ${this.name}`
  }

  #check(offset = 0, bytes = 0): void {
    if (this.#freed) throw new DeviceError('ERR_PERMISSION', `${this.#who()}: the model has been taken out`)
    const good = Number.isSafeInteger(offset) && Number.isSafeInteger(bytes) && offset >= 0 && bytes >= 0
    if (good && offset + bytes <= this.bytes) return
    throw new DeviceError(
      'ERR_INVALID',
      `${this.#who()}: ${bytes} bytes at ${String(offset)}: expected a part of its ${this.bytes}`,
    )
  }

  /**
   * Makes a window on a part of the memory.
   *
   * @throws DeviceError `ERR_INVALID`
   */
  window(offset: number, bytes: number): MemoryWindow {
    this.#check(offset, bytes)
    if (offset % MEMORY_PAGE_BYTES !== 0 || bytes % MEMORY_PAGE_BYTES !== 0 || bytes === 0) {
      throw new DeviceError(
        'ERR_INVALID',
        `${this.#who()}: a window of ${bytes} bytes at ${hex(offset)}: expected multiples of ${MEMORY_PAGE_BYTES}`,
      )
    }
    return new MemoryWindow(this.#memory, offset, bytes)
  }

  /** Gives the memory back. Its windows have been closed. */
  free(): void {
    if (this.#freed) return
    this.#freed = true
    this.#memory.free()
  }
}

/** A part of a model's memory, which follows the region that it is shown in. */
export class MemoryWindow implements ShownMemory {
  /** Offset of the window in the memory. */
  readonly offset: number
  /** Size. */
  readonly bytes: number
  readonly #memory: PlatformMemory
  #placement: MemoryPlacement | null = null
  #gpa = -1

  constructor(memory: PlatformMemory, offset: number, bytes: number) {
    this.#memory = memory
    this.offset = offset
    this.bytes = bytes
  }

  /**
   * Shows the part at an address, or nowhere.
   *
   * @param gpa - −1: nowhere
   */
  follow(gpa: number): void {
    if (gpa === this.#gpa) return
    this.#placement?.remove()
    this.#placement = null
    this.#gpa = gpa
    if (gpa >= 0) this.#placement = this.#memory.place(gpa, this.offset, this.bytes)
  }
}

/** Offsets of a window's accesses count from the memory's first byte. */
export function windowHandler(handler: RangeHandler, offset: number): RangeHandler {
  if (offset === 0) return handler
  return {
    read: (at, size, request) => handler.read(at + offset, size, request),
    write: (at, size, value, request) => handler.write(at + offset, size, value, request),
    ...(handler.read64 && { read64: (at, into, request) => handler.read64?.(at + offset, into, request) }),
    ...(handler.write64 && { write64: (at, lo, hi, request) => handler.write64?.(at + offset, lo, hi, request) }),
  } satisfies RangeHandler
}

function checkOptions(
  device: string,
  { name, bytes, kind = 'ram', contents, mode = 'memory' }: OwnedMemoryOptions,
): void {
  const bad = (what: string): DeviceError =>
    new DeviceError('ERR_INVALID', `${device}: memory ${String(name)}: ${what}`)
  if (typeof name !== 'string' || name === '') throw bad('expected a name')
  if (
    !Number.isSafeInteger(bytes) ||
    bytes < MEMORY_PAGE_BYTES ||
    bytes % MEMORY_PAGE_BYTES !== 0 ||
    bytes > MAX_BYTES
  ) {
    throw bad(`${String(bytes)} bytes: expected a multiple of ${MEMORY_PAGE_BYTES}, up to 2 GiB`)
  }
  if (kind !== 'ram' && kind !== 'rom') throw bad(`kind ${String(kind)}: expected ram or rom`)
  if (mode !== 'memory' && mode !== 'trapped') throw bad(`mode ${String(mode)}: expected memory or trapped`)
  if (contents !== undefined && (!(contents instanceof Uint8Array) || contents.length > bytes)) {
    throw bad(`its contents are not a Uint8Array of at most ${bytes} bytes`)
  }
}
