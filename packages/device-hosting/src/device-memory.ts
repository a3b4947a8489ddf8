import {
  type DeviceDma,
  DeviceError,
  type DeviceMemory,
  type Dma,
  type GuestMapping,
  type InvalidatedFrames,
  type MappingsToEnd,
  MEMORY_PAGE_BYTES,
  type WritableGuestMapping,
} from '@retrap/device'

/** The platform's part that opens models' memory. */
export interface MemorySource {
  readonly dma: Dma & Partial<DeviceDma>
  /** Opens a model's memory; see `DevicePlatform.openMemory`. */
  openMemory?(device: string): DeviceMemory
}

/**
 * Guest memory as one model has it. Its memory is opened at its first use, so that a model without DMA costs nothing. Transfers
 * that take time count as in flight until they have ended.
 */
export class ModelMemory implements DeviceDma {
  readonly #source: MemorySource
  readonly #device: string
  readonly #inFlight = new Set<Promise<boolean>>()
  #memory: DeviceMemory | null = null
  /** The mappings that an invalidation waits for. */
  #toEnd: MappingsToEnd[] = []
  #closed = false

  /** @param device - the model's name */
  constructor(source: MemorySource, device: string) {
    this.#source = source
    this.#device = device
  }

  #open(): DeviceMemory | null {
    if (this.#closed) throw new DeviceError('ERR_PERMISSION', 'this device model has been taken out')
    this.#memory ??= this.#source.openMemory?.(this.#device) ?? null
    return this.#memory
  }

  read(gpa: number, into: Uint8Array): boolean {
    return (this.#open() ?? this.#source.dma).read(gpa, into)
  }

  write(gpa: number, from: Uint8Array): boolean {
    return (this.#open() ?? this.#source.dma).write(gpa, from)
  }

  readSome(gpa: number, into: Uint8Array): number {
    const memory = this.#open()
    if (memory !== null) return memory.readSome(gpa, into)
    return somePages(gpa, into, (at, piece) => this.#source.dma.read(at, piece))
  }

  writeSome(gpa: number, from: Uint8Array): number {
    const memory = this.#open()
    if (memory !== null) return memory.writeSome(gpa, from)
    return somePages(gpa, from, (at, piece) => this.#source.dma.write(at, piece))
  }

  readAsync(gpa: number, into: Uint8Array): Promise<boolean> {
    const far = this.#far()?.readAsync
    return far === undefined ? promised(() => this.read(gpa, into)) : this.#fly(far.call(this.#source.dma, gpa, into))
  }

  writeAsync(gpa: number, from: Uint8Array): Promise<boolean> {
    const far = this.#far()?.writeAsync
    return far === undefined ? promised(() => this.write(gpa, from)) : this.#fly(far.call(this.#source.dma, gpa, from))
  }

  /** Transfers that take their time: where memory is not within reach. */
  #far(): MemorySource['dma'] | undefined {
    return this.#source.openMemory === undefined ? this.#source.dma : undefined
  }

  map(gpa: number, length: number): GuestMapping {
    return this.#mappable().map(gpa, length)
  }

  mapForWriting(gpa: number, length: number): WritableGuestMapping {
    return this.#mappable().mapForWriting(gpa, length)
  }

  #mappable(): DeviceMemory {
    const memory = this.#open()
    if (memory !== null) return memory
    throw new DeviceError('ERR_PERMISSION', 'guest memory cannot be mapped here: copy it with read and write')
  }

  #fly(dma: Promise<boolean>): Promise<boolean> {
    this.#inFlight.add(dma)
    const ended = (): void => void this.#inFlight.delete(dma)
    dma.then(ended, ended)
    return dma
  }

  // ---- for the party that serves the model ----

  /** Drops mappings of frames; mappings and DMA that must end first are in `toEnd` and in flight. */
  drop(frames: readonly InvalidatedFrames[] | null): void {
    const memory = this.#memory
    if (memory === null) return
    this.#toEnd = this.#toEnd.filter((each) => !each.done)
    if (frames === null) this.#note(memory.invalidate())
    else {
      for (const { gfn, count, writesOnly } of frames) {
        this.#note(writesOnly ? memory.revokeWrites(gfn, count) : memory.invalidate(gfn, count))
      }
    }
  }

  #note(mappings: MappingsToEnd): void {
    if (!mappings.done) this.#toEnd.push(mappings)
  }

  /** Mappings whose release was requested, and that are still held. */
  get toEnd(): readonly MappingsToEnd[] {
    return this.#toEnd
  }

  /** Whether a mapping that is held keeps an invalidation waiting. */
  get holds(): boolean {
    return this.#toEnd.some((each) => !each.done)
  }

  /** Transfers that have begun and not ended. */
  get inFlight(): ReadonlySet<Promise<boolean>> {
    return this.#inFlight
  }

  /** Ends all mappings; the model is taken out. */
  close(): void {
    this.#closed = true
    this.#memory?.close()
  }
}

function promised(transfer: () => boolean): Promise<boolean> {
  try {
    return Promise.resolve(transfer())
  } catch (error) {
    return Promise.reject(error as Error)
  }
}

/** RAM and other memory meet only at the boundaries of pages. */
function somePages(gpa: number, bytes: Uint8Array, move: (gpa: number, piece: Uint8Array) => boolean): number {
  for (let done = 0; done < bytes.length;) {
    const piece = bytes.subarray(done, done + MEMORY_PAGE_BYTES - ((gpa + done) % MEMORY_PAGE_BYTES))
    if (!move(gpa + done, piece)) return done
    done += piece.length
  }
  return bytes.length
}

/** Calls back once, when all that it has been given has ended and nothing more is to come. */
export class Countdown {
  readonly #callback: () => void
  #open = 1

  constructor(callback: () => void) {
    this.#callback = callback
  }

  mappings(mappings: MappingsToEnd): void {
    this.#open++
    mappings.onDone(() => this.#ended())
  }

  /** Begins a piece of work. @returns the function that ends it, once */
  begin(): () => void {
    this.#open++
    let over = false
    return () => {
      if (over) return
      over = true
      this.#ended()
    }
  }

  promise(promise: Promise<unknown>): void {
    this.#open++
    const ended = (): void => this.#ended()
    promise.then(ended, ended)
  }

  /** All pieces of work have begun: the callback may be called. */
  start(): void {
    this.#ended()
  }

  #ended(): void {
    if (--this.#open === 0) this.#callback()
  }
}
