import { DeviceError, MEMORY_PAGE_BYTES, type MemoryMode } from '@retrap/device'
import { IoreqError } from '@retrap/ioreq'
import { type Frame, MAX_DMA_BYTES } from './frames.ts'
import type { MemoryPlacement, PlatformMemory, PlatformMemoryOptions } from './platform.ts'

/** Bits of `ownMemory`'s flags. */
const ROM = 1
const EXECUTABLE = 2
const TRAPPED = 4
const TRAPS_WRITES = 8
const SAVED = 16
/** The most memories of one server: more is a mistake of its models. */
const MAX_MEMORIES = 256
const MAX_PLACEMENTS = 4096

type Done = Extract<Frame, { kind: 'dmaDone' }>
type FrameOf<K extends Frame['kind']> = Extract<Frame, { kind: K }>

/** A device server's way to the hypervisor, as far as memory needs it. */
export interface MemoryLink {
  send(frame: Frame): void
  /** Sends a frame with a call number and waits, blocked; absent where that cannot be. */
  callSync?(frame: Frame): Done
  /** Sends a frame with a call number. */
  call(frame: Frame & { readonly call: number }): Promise<Done>
  /** A new call number. */
  nextCall(): number
  /** The bytes of a memory in machine memory that this thread shares. */
  view?(location: number, bytes: number): Uint8Array
}

/** Memories of models that live elsewhere than the machine: the models' side. @returns opens one: see `DevicePlatform.ownMemory` */
export function remoteMemories(link: MemoryLink): (device: string, options: PlatformMemoryOptions) => PlatformMemory {
  let memories = 0
  let placements = 0
  return (device, options) => {
    const memory = memories++
    const { name, bytes: length, kind, executable, mode, saved = true, trapsWrites, contents } = options
    const flags =
      (kind === 'rom' ? ROM : 0) |
      (executable === true ? EXECUTABLE : 0) |
      (mode === 'trapped' ? TRAPPED : 0) |
      (trapsWrites ? TRAPS_WRITES : 0) |
      (saved ? SAVED : 0)
    let view: Uint8Array | null = null
    if (link.callSync === undefined) link.send({ kind: 'ownMemory', call: 0, memory, device, name, length, flags })
    else {
      const done = link.callSync({ kind: 'ownMemory', call: link.nextCall(), memory, device, name, length, flags })
      if (!done.ok)
        throw new DeviceError('ERR_NO_SPACE', `${device}: memory ${name}: the machine has refused ${length} bytes`)
      if (done.bytes.length === 8 && link.view !== undefined) {
        const location = new DataView(done.bytes.buffer, done.bytes.byteOffset).getFloat64(0, true)
        view = link.view(location, length)
      }
    }
    const made = new RemoteMemory(link, memory, view, () => placements++)
    if (contents !== undefined) made.post(0, contents)
    return made
  }
}

/** The memory of one model. */
class RemoteMemory implements PlatformMemory {
  readonly view: Uint8Array | null
  readonly readAsync?: (offset: number, into: Uint8Array) => Promise<void>
  readonly writeAsync?: (offset: number, from: Uint8Array) => Promise<void>
  readonly takeDirtyAsync?: (offset: number, bytes: number, into: Uint32Array) => Promise<number>
  readonly #link: MemoryLink
  readonly #memory: number
  readonly #nextPlacement: () => number

  constructor(link: MemoryLink, memory: number, view: Uint8Array | null, nextPlacement: () => number) {
    this.#link = link
    this.#memory = memory
    this.#nextPlacement = nextPlacement
    this.view = view
    // Where the thread can block, the synchronous forms serve as well.
    if (link.callSync !== undefined) return
    this.readAsync = (offset, into) => this.#readAsync(offset, into)
    this.writeAsync = (offset, from) => this.#writeAsync(offset, from)
    this.takeDirtyAsync = async (offset, bytes, into) =>
      takeBits((await this.#link.call(this.#dirtyFrame(offset, bytes))).bytes, into)
  }

  #sync(frame: Frame): Done {
    if (this.#link.callSync !== undefined) return this.#link.callSync(frame)
    throw new DeviceError(
      'ERR_PERMISSION',
      'the machine is in another process: use readAsync, writeAsync and takeDirtyAsync',
    )
  }

  setMode(mode: MemoryMode): void {
    this.#link.send({ kind: 'memoryMode', memory: this.#memory, trapped: mode === 'trapped' })
  }

  place(gpa: number, offset: number, bytes: number): MemoryPlacement {
    const placement = this.#nextPlacement()
    const link = this.#link
    link.send({ kind: 'placeMemory', placement, memory: this.#memory, gpa, offset, length: bytes })
    let placed = true
    return {
      remove: () => {
        if (placed) link.send({ kind: 'removePlacement', placement })
        placed = false
      },
    }
  }

  read(offset: number, into: Uint8Array): void {
    if (this.view !== null) return into.set(this.view.subarray(offset, offset + into.length))
    for (let at = 0; at < into.length; at += MAX_DMA_BYTES) {
      const piece = into.subarray(at, at + MAX_DMA_BYTES)
      piece.set(this.#sync(this.#readFrame(offset + at, piece.length)).bytes)
    }
  }

  write(offset: number, from: Uint8Array): void {
    if (this.view !== null) {
      this.view.set(from, offset)
      return this.modified(offset, from.length)
    }
    this.#sync(this.#readFrame(offset, 0))
    this.post(offset, from)
  }

  /** Sends bytes in pieces, without a reply. */
  post(offset: number, from: Uint8Array): void {
    for (let at = 0; at < from.length; at += MAX_DMA_BYTES) {
      const bytes = from.subarray(at, at + MAX_DMA_BYTES)
      this.#link.send({ kind: 'memoryWrite', call: 0, memory: this.#memory, offset: offset + at, bytes })
    }
  }

  modified(offset: number, bytes: number): void {
    this.#link.send({ kind: 'memoryModified', memory: this.#memory, offset, length: bytes })
  }

  #readFrame(offset: number, length: number): FrameOf<'memoryRead'> {
    return { kind: 'memoryRead', call: this.#link.nextCall(), memory: this.#memory, offset, length }
  }

  async #readAsync(offset: number, into: Uint8Array): Promise<void> {
    for (let at = 0; at < into.length; at += MAX_DMA_BYTES) {
      const piece = into.subarray(at, at + MAX_DMA_BYTES)
      piece.set((await this.#link.call(this.#readFrame(offset + at, piece.length))).bytes)
    }
  }

  async #writeAsync(offset: number, from: Uint8Array): Promise<void> {
    this.post(offset, from)
    // The reply of this read says that the bytes have been written.
    await this.#link.call(this.#readFrame(offset, 0))
  }

  logWrites(on: boolean): void {
    this.#link.send({ kind: 'memoryLog', memory: this.#memory, on })
  }

  #dirtyFrame(offset: number, bytes: number): FrameOf<'memoryDirty'> {
    return { kind: 'memoryDirty', call: this.#link.nextCall(), memory: this.#memory, offset, length: bytes }
  }

  takeDirty(offset: number, bytes: number, into: Uint32Array): number {
    return takeBits(this.#sync(this.#dirtyFrame(offset, bytes)).bytes, into)
  }

  free(): void {
    this.#link.send({ kind: 'freeMemory', memory: this.#memory })
  }
}

function takeBits(bytes: Uint8Array, into: Uint32Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let dirty = 0
  for (let word = 0; word < bytes.length >>> 2; word++) {
    const bits = view.getUint32(4 * word, true)
    into[word] = bits
    for (let rest = bits; rest !== 0; rest &= rest - 1) dirty++
  }
  return dirty
}

interface Held {
  readonly memory: PlatformMemory
  readonly bytes: number
}

/** Memories of models that live elsewhere: the machine's side. Whatever comes over the link is checked. */
export class HeldMemories {
  readonly #own: (device: string, options: PlatformMemoryOptions) => PlatformMemory
  readonly #reply: (call: number, ok: boolean, bytes: Uint8Array) => void
  readonly #memories = new Map<number, Held>()
  readonly #placements = new Map<number, { readonly memory: number; readonly placement: MemoryPlacement }>()

  constructor(
    own: (device: string, options: PlatformMemoryOptions) => PlatformMemory,
    reply: (call: number, ok: boolean, bytes: Uint8Array) => void,
  ) {
    this.#own = own
    this.#reply = reply
  }

  /**
   * Takes a frame about memory.
   *
   * @returns false for any other frame
   * @throws IoreqError `ERR_PROTOCOL` for a frame that a device server may not send; DeviceError where the machine has
   * no room
   */
  take(frame: Frame): boolean {
    const act = HeldMemories.#ACTIONS[frame.kind] as ((all: HeldMemories, frame: Frame) => void) | undefined
    act?.(this, frame)
    return act !== undefined
  }

  static readonly #ACTIONS: {
    readonly [Kind in Frame['kind']]?: (all: HeldMemories, frame: FrameOf<Kind>) => void
  } = {
    ownMemory: (all, frame) => all.#open(frame),
    placeMemory: (all, frame) => all.#place(frame),
    removePlacement: (all, { placement }) => {
      all.#placements.get(placement)?.placement.remove()
      all.#placements.delete(placement)
    },
    memoryMode: (all, { memory, trapped }) => all.#held(memory).memory.setMode(trapped ? 'trapped' : 'memory'),
    memoryModified: (all, { memory, offset, length }) => all.#part(memory, offset, length).modified(offset, length),
    memoryRead: (all, { call, memory, offset, length }) => {
      if (length > MAX_DMA_BYTES) throw protocol(`a read of ${length} bytes of memory ${memory}`)
      const bytes = new Uint8Array(length)
      all.#part(memory, offset, length).read(offset, bytes)
      all.#reply(call, true, bytes)
    },
    memoryWrite: (all, { call, memory, offset, bytes }) => {
      all.#part(memory, offset, bytes.length).write(offset, bytes)
      if (call !== 0) all.#reply(call, true, new Uint8Array(0))
    },
    memoryLog: (all, { memory, on }) => all.#held(memory).memory.logWrites(on),
    memoryDirty: (all, { call, memory, offset, length }) => {
      const bits = new Uint32Array(Math.ceil(length / MEMORY_PAGE_BYTES / 32))
      if (offset % MEMORY_PAGE_BYTES !== 0) throw protocol(`dirty pages from ${offset} on`)
      all.#part(memory, offset, length).takeDirty(offset, length, bits)
      all.#reply(call, true, new Uint8Array(bits.buffer))
    },
    freeMemory: (all, { memory }) => all.#free(memory),
  }

  #open({ call, memory, device, name, length, flags }: FrameOf<'ownMemory'>): void {
    const pages = Number.isSafeInteger(length) && length > 0 && length % MEMORY_PAGE_BYTES === 0 && length <= 2 ** 31
    if (!pages || this.#memories.has(memory) || this.#memories.size >= MAX_MEMORIES) {
      throw protocol(`memory ${memory} of ${length} bytes`)
    }
    const held = this.#own(device, {
      name,
      bytes: length,
      kind: (flags & ROM) !== 0 ? 'rom' : 'ram',
      executable: (flags & EXECUTABLE) !== 0,
      mode: (flags & TRAPPED) !== 0 ? 'trapped' : 'memory',
      trapsWrites: (flags & TRAPS_WRITES) !== 0,
      saved: (flags & SAVED) !== 0,
    })
    this.#memories.set(memory, { memory: held, bytes: length })
    if (call === 0) return
    const location = new Uint8Array(held.location === undefined ? 0 : 8)
    if (held.location !== undefined) new DataView(location.buffer).setFloat64(0, held.location, true)
    this.#reply(call, true, location)
  }

  #place({ placement, memory, gpa, offset, length }: FrameOf<'placeMemory'>): void {
    const held = this.#part(memory, offset, length)
    const pages = [gpa, offset, length].every((each) => each % MEMORY_PAGE_BYTES === 0) && length > 0
    const fits = Number.isSafeInteger(gpa) && gpa >= 0 && gpa + length <= 2 ** 52
    if (!pages || !fits || this.#placements.has(placement) || this.#placements.size >= MAX_PLACEMENTS) {
      throw protocol(`placement ${placement} of ${length} bytes of memory ${memory} at ${gpa}`)
    }
    this.#placements.set(placement, { memory, placement: held.place(gpa, offset, length) })
  }

  #held(memory: number): Held {
    const held = this.#memories.get(memory)
    if (held === undefined) throw protocol(`unknown memory ${memory}: it was freed, or never announced`)
    return held
  }

  #part(memory: number, offset: number, length: number): PlatformMemory {
    const held = this.#held(memory)
    const good = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0
    if (!good || offset + length > held.bytes) throw protocol(`${length} bytes at ${offset} of memory ${memory}`)
    return held.memory
  }

  #free(memory: number): void {
    const held = this.#held(memory)
    for (const [number, { memory: of, placement }] of this.#placements) {
      if (of !== memory) continue
      placement.remove()
      this.#placements.delete(number)
    }
    this.#memories.delete(memory)
    held.memory.free()
  }

  /** Gives all memory back: the server has ended. */
  close(): void {
    for (const memory of [...this.#memories.keys()]) this.#free(memory)
  }
}

function protocol(what: string): IoreqError {
  return new IoreqError('ERR_PROTOCOL', `a device server sent ${what}`)
}
