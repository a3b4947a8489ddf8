import { describeArgument } from '@retrap/basics'
import { atomics64, type Atomics64 } from './atomics64.ts'
import { hex, MemoryError } from './errors.ts'
import { FrameBits } from './frame-bits.ts'
import { FrameAllocator } from './frames.ts'
import { checkHeader, createMemory, type MachineMemoryOptions, type WasmMemory } from './header.ts'
import { H_CODE_BITS_MA, H_GENERATION_MA, HEADER_WORD, MAX_MACHINE_BYTES, PAGE_BYTES } from './layout.ts'

/**
 * Called with the MFN of a frame that has bits in `codeBits` and was written, and with the first and the last byte of it
 * that were. The part that has set a bit clears it.
 */
export type CodeWriteListener = (frame: number, first: number, last: number) => void

/** Tells other threads of writes to frames with code. */
export interface CodeWriteTeller {
  /** Reports written bytes of a frame, without waiting. @param last - inclusive */
  tell(frame: number, first: number, last: number): void
}

/** A region that {@link MachineMemory.allocate} handed out. */
export interface Region {
  /** Machine address. */
  readonly ma: number
  /** Size in bytes. */
  readonly bytes: number
  /** The purpose of the region, as given to `allocate`. */
  readonly purpose: string
}

interface HeldRegion extends Region {
  readonly align: number
}

/** Key of regions that can replace one another. */
const sizeOf = (bytes: number, align: number): string => `${bytes} ${align}`

/**
 * A machine's memory: one `WebAssembly.Memory`, made in one piece and never grown, so that no view of it detaches.
 * Everything that vCPUs share lives in it. A machine address (MA) is a byte offset into it.
 *
 * The typed arrays are for code that runs once per guest instruction or device access and has checked its addresses.
 * Other callers use `read`, `write` and the `readU32` family, which check bounds and keep `generation` right.
 */
export class MachineMemory {
  /** The `WebAssembly.Memory`, for generated code. */
  readonly memory: WasmMemory
  /** The bytes. */
  readonly buffer: ArrayBuffer | SharedArrayBuffer
  /** Size in bytes. */
  readonly byteLength: number
  /** Whether other threads can attach to the memory. */
  readonly shared: boolean
  /** `byteLength / 4096`. */
  readonly frameCount: number

  /** The whole memory as bytes. */
  readonly u8: Uint8Array
  /** The whole memory as 16-bit words. */
  readonly u16: Uint16Array
  /** The whole memory as 32-bit words. */
  readonly u32: Uint32Array
  /** The whole memory as signed 32-bit words, for atomics. */
  readonly i32: Int32Array
  /** 64-bit words, for people and tests; nothing hot may touch a `bigint`. */
  readonly u64: BigUint64Array

  /** A frame's generation by MFN: changes whenever something other than the CPU's own fast stores writes the frame. */
  readonly generation: Uint32Array
  /** By MFN: `FRAME_DECODED`, `FRAME_MONITORED`, `FRAME_WATCHED`. A vCPU reports its own stores to frames with a bit too. */
  readonly codeBits: Uint8Array
  /** MA of `generation[0]`, for generated code. */
  readonly generationMa: number
  /** Changes `codeBits`. */
  readonly frameBits: FrameBits
  /** MA of `codeBits[0]`, for generated code. */
  readonly codeBitsMa: number

  /** Frames for guest RAM and tables. */
  readonly frames: FrameAllocator

  /** Gets the same writes as the listeners, after them; undefined where no other thread executes code of this memory. */
  neighbours: CodeWriteTeller | undefined = undefined

  readonly #view: DataView
  readonly #atomics: Atomics64
  readonly #listeners: CodeWriteListener[] = []
  readonly #regions: HeldRegion[] = []
  /** Regions that were freed, by size and alignment. */
  readonly #spare = new Map<string, number[]>()

  /**
   * Makes a machine's memory, all zero.
   *
   * @throws MemoryError `ERR_TOO_LARGE`, `ERR_RANGE`, or `ERR_NO_MEMORY` where the host refuses
   */
  static create(options: MachineMemoryOptions): MachineMemory {
    return new MachineMemory(createMemory(options))
  }

  /**
   * A further view of an existing machine's memory, in a Worker that was sent its `WebAssembly.Memory`, or after the
   * bytes were restored from a snapshot. Listeners and the list of regions are each view's own.
   *
   * @throws MemoryError `ERR_HEADER` if no machine was made in the memory
   */
  static attach(memory: WasmMemory): MachineMemory {
    checkHeader(memory)
    return new MachineMemory(memory)
  }

  private constructor(memory: WasmMemory) {
    const buffer = memory.buffer
    this.memory = memory
    this.buffer = buffer
    this.byteLength = buffer.byteLength
    this.shared = !(buffer instanceof ArrayBuffer)
    this.frameCount = buffer.byteLength / PAGE_BYTES
    this.u8 = new Uint8Array(buffer)
    this.u16 = new Uint16Array(buffer)
    this.u32 = new Uint32Array(buffer)
    this.i32 = new Int32Array(buffer)
    this.u64 = new BigUint64Array(buffer)
    this.generationMa = this.u32[HEADER_WORD + H_GENERATION_MA]!
    this.codeBitsMa = this.u32[HEADER_WORD + H_CODE_BITS_MA]!
    this.generation = new Uint32Array(buffer, this.generationMa, this.frameCount)
    this.codeBits = new Uint8Array(buffer, this.codeBitsMa, this.frameCount)
    this.frameBits = new FrameBits(this.codeBits, this.shared)
    this.#view = new DataView(buffer)
    this.#atomics = atomics64(memory, this.shared)
    this.frames = new FrameAllocator(this.u8, this.u32, this.i32, (ma, length) => this.noteWrite(ma, length))
  }

  /**
   * Cuts a zeroed region for a hypervisor structure. It lives as long as the machine, or until it is freed. Address zero is
   * never handed out.
   *
   * @param align - a power of two
   * @param purpose - purpose of the region, for error messages and `regions`
   * @returns its MA
   * @throws MemoryError `ERR_NO_MEMORY`, `ERR_ALIGN`, `ERR_RANGE`
   */
  allocate(bytes: number, align: number, purpose: string): number {
    checkRegion(bytes, align, purpose)
    const ma = this.#spare.get(sizeOf(bytes, align))?.pop() ?? this.frames.region(bytes, align, purpose)
    return this.#handOut(ma, bytes, align, purpose)
  }

  /**
   * Allocates a zeroed region whose MA is equal in machines of all sizes that allocate in the same order: generated code with
   * this constant address then serves all of them. If the area for such regions is full, the region comes from {@link
   * MachineMemory.allocate}.
   *
   * @param align - a power of two, at most 4096
   * @returns its MA; {@link FIXED_MA} for the first region of up to {@link FIXED_BYTES}
   * @throws MemoryError `ERR_NO_MEMORY`, `ERR_ALIGN`, `ERR_RANGE`
   */
  allocateFixed(bytes: number, align: number, purpose: string): number {
    checkRegion(bytes, align, purpose)
    return this.#handOut(this.frames.fixedRegion(bytes, align, purpose), bytes, align, purpose)
  }

  #handOut(ma: number, bytes: number, align: number, purpose: string): number {
    this.#regions.push({ ma, bytes, align, purpose })
    return ma
  }

  /**
   * Frees a region allocated by this view. It is kept for the next region of equal size and alignment, so that large
   * regions do not fragment free memory.
   *
   * @param ma - what `allocate` returned
   * @throws MemoryError `ERR_NOT_ALLOCATED`
   */
  free(ma: number): void {
    const index = this.#regions.findIndex((region) => region.ma === ma)
    if (index < 0) throw new MemoryError('ERR_NOT_ALLOCATED', `MA ${hex(ma)} is no region of this view`, { ma })
    const [{ bytes, align }] = this.#regions.splice(index, 1) as [HeldRegion]
    this.#clear(ma, bytes)
    const key = sizeOf(bytes, align)
    this.#spare.set(key, [...(this.#spare.get(key) ?? []), ma])
  }

  /** Bytes of freed regions that are kept for reuse. */
  get spareBytes(): number {
    return [...this.#spare].reduce((sum, [size, all]) => sum + Number.parseInt(size, 10) * all.length, 0)
  }

  /** The regions that this view handed out and that were not freed, in order. */
  get regions(): readonly Region[] {
    return this.#regions
  }

  /**
   * To be called by every writer that is not a CPU's own store (DMA, loaders, patching, toolstack), *after* its bytes are
   * in memory: the touched frames' generations change, so that decoded records and translated code of them are dropped, and
   * frames that hold code are reported to the listeners.
   *
   * The range must lie in machine memory.
   */
  noteWrite(ma: number, length: number): void {
    if (length <= 0) return
    const end = ma + length - 1
    const last = Math.floor(end / PAGE_BYTES)
    for (let frame = Math.floor(ma / PAGE_BYTES); frame <= last; frame++) {
      // Atomic between threads: were two writers' increments to become one, a reader in between would miss the second.
      if (this.shared) Atomics.add(this.generation, frame, 1)
      else this.generation[frame]!++
      if (this.codeBits[frame] === 0) continue
      const start = frame * PAGE_BYTES
      const from = Math.max(ma - start, 0)
      const to = Math.min(end - start, PAGE_BYTES - 1)
      this.hearWrite(frame, from, to)
      this.neighbours?.tell(frame, from, to)
    }
  }

  /** Notifies the listeners of this view of a write to a frame with bits in `codeBits`. @param last - inclusive */
  hearWrite(frame: number, first: number, last: number): void {
    for (const listener of this.#listeners) listener(frame, first, last)
  }

  /**
   * To be called by a CPU's slow path *after* its bytes are in memory, which lie in one frame: writes to a frame with bits
   * in `codeBits` are noted.
   */
  noteStore(ma: number, length: number): void {
    if (this.frameBits.isHeld(ma >>> 12)) this.noteWrite(ma, length)
  }

  /**
   * Registers a listener, called on writes to frames that have bits in `codeBits`.
   *
   * @returns a function that removes the listener
   */
  onCodeWrite(listener: CodeWriteListener): () => void {
    if (typeof listener !== 'function') {
      throw new MemoryError('ERR_ARGUMENT', `listener is ${describeArgument(listener)}: expected a function`)
    }
    this.#listeners.push(listener)
    return () => {
      const index = this.#listeners.indexOf(listener)
      if (index >= 0) this.#listeners.splice(index, 1)
    }
  }

  /** A copy of `length` bytes. @throws MemoryError `ERR_RANGE` */
  read(ma: number, length: number): Uint8Array<ArrayBuffer> {
    this.#check(ma, length)
    const copy = new Uint8Array(length)
    copy.set(this.u8.subarray(ma, ma + length))
    return copy
  }

  /** Stores bytes and notes the write. @throws MemoryError `ERR_RANGE` */
  write(ma: number, bytes: Uint8Array): void {
    if (!(bytes instanceof Uint8Array)) {
      throw new MemoryError('ERR_ARGUMENT', `bytes is ${describeArgument(bytes)}: expected a Uint8Array`)
    }
    this.#check(ma, bytes.length)
    this.u8.set(bytes, ma)
    this.noteWrite(ma, bytes.length)
  }

  /** Stores `length` equal bytes and notes the write. @throws MemoryError `ERR_RANGE` */
  fill(ma: number, length: number, value: number): void {
    this.#check(ma, length)
    checkValue(value)
    this.u8.fill(value, ma, ma + length)
    this.noteWrite(ma, length)
  }

  /** Any alignment, little-endian. @throws MemoryError `ERR_RANGE` (as do all below) */
  readU8(ma: number): number {
    this.#check(ma, 1)
    return this.u8[ma]!
  }

  /** See {@link MachineMemory.readU8}. */
  readU16(ma: number): number {
    this.#check(ma, 2)
    return this.#view.getUint16(ma, true)
  }

  /** See {@link MachineMemory.readU8}. */
  readU32(ma: number): number {
    this.#check(ma, 4)
    return this.#view.getUint32(ma, true)
  }

  /** `into[0]` becomes the low word, `into[1]` the high one. Not atomic: for table entries see `readEntry`. */
  readU64Into(ma: number, into: Uint32Array): void {
    this.#check(ma, 8)
    into[0] = this.#view.getUint32(ma, true)
    into[1] = this.#view.getUint32(ma + 4, true)
  }

  /** Reads 64 bits, for people. */
  readU64(ma: number): bigint {
    this.#check(ma, 8)
    return this.#view.getBigUint64(ma, true)
  }

  /** Any alignment; notes the write. */
  writeU8(ma: number, value: number): void {
    this.#check(ma, 1)
    checkValue(value)
    this.u8[ma] = value
    this.noteWrite(ma, 1)
  }

  /** See {@link MachineMemory.writeU8}. */
  writeU16(ma: number, value: number): void {
    this.#check(ma, 2)
    checkValue(value)
    this.#view.setUint16(ma, value, true)
    this.noteWrite(ma, 2)
  }

  /** See {@link MachineMemory.writeU8}. */
  writeU32(ma: number, value: number): void {
    this.#check(ma, 4)
    checkValue(value)
    this.#view.setUint32(ma, value, true)
    this.noteWrite(ma, 4)
  }

  /** See {@link MachineMemory.writeU8}. */
  writeU64(ma: number, lo: number, hi: number): void {
    this.#check(ma, 8)
    this.#view.setUint32(ma, lo, true)
    this.#view.setUint32(ma + 4, hi, true)
    this.noteWrite(ma, 8)
  }

  /** For people. See {@link MachineMemory.writeU8}. */
  writeBigU64(ma: number, value: bigint): void {
    this.#check(ma, 8)
    this.#view.setBigUint64(ma, value, true)
    this.noteWrite(ma, 8)
  }

  /**
   * Reads a 64-bit table entry that another thread may be changing, never half of the old and half of the new. Two words,
   * one of them read again, are not enough for that: a write in between may be undone before the second look.
   *
   * `into[0]` becomes the low word, `into[1]` the high one. `ma` is a multiple of 8 within machine memory (hot: not
   * checked).
   */
  readEntry(ma: number, into: Uint32Array): void {
    if (!this.shared) {
      // One thread: nothing changes meanwhile, and plain loads are cheapest.
      const word = ma >>> 2
      const u32 = this.u32
      into[0] = u32[word]!
      into[1] = u32[word + 1]!
      return
    }
    into[0] = this.#atomics.load(ma)
    into[1] = this.#atomics.high()
  }

  /**
   * Copies bytes within machine memory: 2, 4 or 8 aligned ones as one access each way, which no other thread sees half of. It
   * notes no write.
   *
   * Both areas lie in machine memory, and do not overlap unless they are equal (hot: not checked).
   */
  copyOnce(from: number, to: number, bytes: number): void {
    const { u8, u16, u32 } = this
    const isAligned = ((from | to) & (bytes - 1)) === 0
    if (isAligned && bytes === 4) u32[to >>> 2] = u32[from >>> 2]!
    else if (isAligned && bytes === 2) u16[to >>> 1] = u16[from >>> 1]!
    else if (isAligned && bytes === 8) this.#atomics.store(to, this.#atomics.load(from), this.#atomics.high())
    else for (let i = 0; i < bytes; i++) u8[to + i] = u8[from + i]!
  }

  /** Publishes a 64-bit table entry in one piece. `ma` is a multiple of 8. @throws MemoryError `ERR_ALIGN`, `ERR_RANGE` */
  publishEntry(ma: number, lo: number, hi: number): void {
    this.#checkEntry(ma)
    this.#atomics.store(ma, lo, hi)
  }

  /**
   * Atomically replaces a 64-bit table entry if it still has the expected value.
   *
   * @returns false, and changes nothing, if the entry holds another value
   * @throws MemoryError `ERR_ALIGN`, `ERR_RANGE`
   */
  compareExchangeEntry(ma: number, expectLo: number, expectHi: number, lo: number, hi: number): boolean {
    this.#checkEntry(ma)
    return this.#atomics.compareExchange(ma, expectLo, expectHi, lo, hi) !== 0
  }

  /** The 32-bit form of `compareExchangeEntry`; `ma` is a multiple of 4. */
  compareExchange32(ma: number, expect: number, value: number): boolean {
    this.#check(ma, 4)
    if (ma % 4 !== 0) throw new MemoryError('ERR_ALIGN', `MA ${hex(ma)} is not a multiple of 4`, { ma })
    return Atomics.compareExchange(this.i32, ma / 4, expect | 0, value | 0) === (expect | 0)
  }

  /** Makes zeros of a range. The host has no memory for untouched pages: zeros are not written over them. */
  #clear(ma: number, bytes: number): void {
    const { u8, u32 } = this
    const end = ma + bytes
    let from = ma
    // Word by word for whole pages: a vCPU's translations are megabytes, mostly unused.
    for (; from % PAGE_BYTES === 0 && from + PAGE_BYTES <= end; from += PAGE_BYTES) {
      const last = (from + PAGE_BYTES) >>> 2
      let any = 0
      for (let i = from >>> 2; i < last && any === 0; i += 4) any = u32[i]! | u32[i + 1]! | u32[i + 2]! | u32[i + 3]!
      if (any !== 0) u8.fill(0, from, from + PAGE_BYTES)
    }
    if (from < end) u8.fill(0, from, end)
  }

  #check(ma: number, length: number): void {
    // The type first: a bigint would throw in the sum.
    if (
      Number.isSafeInteger(ma) &&
      ma >= 0 &&
      Number.isSafeInteger(length) &&
      length >= 0 &&
      ma + length <= this.byteLength
    ) {
      return
    }
    throw new MemoryError(
      'ERR_RANGE',
      `MA ${hex(ma)} + ${describeArgument(length)} bytes is outside machine memory of ${hex(this.byteLength)} bytes`,
      { ma, length },
    )
  }

  #checkEntry(ma: number): void {
    this.#check(ma, 8)
    if (ma % 8 !== 0) throw new MemoryError('ERR_ALIGN', `MA ${hex(ma)} is not a multiple of 8`, { ma })
  }
}

function checkValue(value: number): void {
  if (typeof value === 'number') return
  throw new MemoryError('ERR_ARGUMENT', `value is ${describeArgument(value)}: expected a number`)
}

/** @throws MemoryError `ERR_ARGUMENT`, `ERR_RANGE`, `ERR_ALIGN` */
function checkRegion(bytes: number, align: number, purpose: string): void {
  if (typeof purpose !== 'string') {
    throw new MemoryError('ERR_ARGUMENT', `purpose is ${describeArgument(purpose)}: expected text`)
  }
  if (!(Number.isSafeInteger(bytes) && bytes > 0)) {
    throw new MemoryError('ERR_RANGE', `${purpose}: ${describeArgument(bytes)} bytes: expected 1 or more`, {
      requestedBytes: bytes,
    })
  }
  if (
    !(Number.isSafeInteger(align) && align >= 1 && align <= MAX_MACHINE_BYTES && Number.isInteger(Math.log2(align)))
  ) {
    throw new MemoryError('ERR_ALIGN', `${purpose}: alignment ${describeArgument(align)}: expected a power of two`, {
      align,
    })
  }
}
