import {
  type AccessSize,
  type BlockBackend,
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  type OwnedMemory,
  type RangeHandler,
  Stateful,
} from '@retrap/device'
import { cfiQuery, WRITE_BUFFER_BYTES } from './cfi-query.ts'
import { OrderedWrites } from './ordered-writes.ts'

/** Bytes of a block unless the options say otherwise. */
const USUAL_BLOCK_BYTES = 0x1000
const LARGEST_BYTES = 1 << 26

// Commands (28F128J3A data sheet, "Command Definitions").
const READ_ARRAY = 0xff
const READ_IDENTIFIER = 0x90
const READ_QUERY = 0x98
const READ_STATUS = 0x70
const CLEAR_STATUS = 0x50
const PROGRAM = 0x40
const PROGRAM_ALTERNATE = 0x10
const WRITE_TO_BUFFER = 0xe8
const ERASE = 0x20
const LOCK_SETUP = 0x60
const SUSPEND = 0xb0
const CONFIRM = 0xd0
const SET_LOCK = 0x01

// Status register.
const READY = 0x80
const ERASE_ERROR = 0x20
const PROGRAM_ERROR = 0x10
const VOLTAGE_ERROR = 0x08
const LOCKED = 0x02
const SEQUENCE_ERROR = ERASE_ERROR | PROGRAM_ERROR

// Identifier codes.
const MANUFACTURER = 0x89
const DEVICE_CODE = 0x18

/** The result of reads. */
type ReadMode = 'array' | 'status' | 'identifier' | 'query'

/** The operation that the next write is part of. */
type Pending = 'none' | 'program' | 'erase' | 'lock' | 'buffer-count' | 'buffer-data' | 'buffer-confirm'

/** Options of {@link CfiFlash}. */
export interface CfiFlashOptions {
  /** Names the model, and its memory in saved state; unique within a machine. Default `flash`. */
  readonly name?: string
  /** Guest-physical address of the first byte, a multiple of 4096. */
  readonly gpa: number
  /** The content at power-on: whole blocks of 4096 bytes. */
  readonly contents: Uint8Array
  /** Gets every change, in order; its first bytes are `contents`. Absent: changes last as long as the machine. */
  readonly medium?: BlockBackend | undefined
  /** Bytes of the data bus: 1 for one chip (default), 4 for two chips of 16 bits side by side, which take commands at once. */
  readonly busBytes?: 1 | 4
  /** Bytes of a block, which is the unit of an erase, over all chips; a power of two. Default 4096. */
  readonly blockBytes?: number
  /** All its blocks are locked permanently. Default false. */
  readonly readOnly?: boolean
  /**
   * Whether the access at hand may give commands. Where it may not, a write does nothing and a read gives the contents:
   * a machine answers for processors in system-management mode alone. Default: always.
   */
  readonly isTrusted?: () => boolean
}

/**
 * A flash memory with Intel's command set for firmware: one chip of 8 bits, as QEMU's PC has, or two of 16 bits side by
 * side, as its Arm board. It is memory that the guest reads and executes until a write makes it a device of commands; Read
 * Array makes it memory again.
 *
 * Programming clears bits and erasing sets the bits of a block, at once. The medium follows in order; where it falls far
 * behind, a guest's write waits for it. After a medium has failed, every change ends with the voltage error.
 *
 * Bit 7 of the status is clear from Clear Status until a program or erase has ended, which the data sheet does not have:
 * OVMF knows by a status of 0 that it is on flash.
 *
 * Source: Intel 28F128J3A data sheet (290667), "Command Definitions" and "Status Register Definitions".
 */
export class CfiFlash extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string
  /** A write may wait for the medium. */
  readonly synchronous: boolean = false
  readonly #options: CfiFlashOptions
  readonly #query: Uint8Array
  readonly #busBytes: 1 | 4
  readonly #blockBytes: number
  readonly #locked: Uint8Array
  #memory: OwnedMemory | null = null
  #bytes: Uint8Array = new Uint8Array(0)
  #writes: OrderedWrites | null = null
  /** Whether the medium lacks the memory's restored contents. */
  #behind = false
  readonly #r = this.keeps(
    {
      version: 1,
      mode: 'array' as ReadMode,
      pending: 'none' as Pending,
      status: 0,
      /** Offset of the first byte of a buffered program, −1 before it is known; and bytes that are still to come. */
      bufferStart: -1,
      bufferLeft: 0,
      locked: {
        save: (): number[] => [...this.#locked.keys()].filter((block) => this.#locked[block] === 1),
        restore: (blocks: readonly number[]): void => {
          this.#locked.fill(0)
          for (const block of blocks) this.#locked[block] = 1
        },
        reset: (): void => void this.#locked.fill(0),
      },
      /** Each byte's offset and value. */
      buffer: [] as [offset: number, value: number][],
    },
    { settled: (): void => this.#show(this.#r.mode) },
  )

  /** @throws DeviceError `ERR_OPTION` for contents that are not whole blocks, or a medium of another size */
  constructor(options: CfiFlashOptions) {
    super()
    this.#options = options
    this.name = options.name ?? 'flash'
    const { busBytes = 1, blockBytes: block = USUAL_BLOCK_BYTES } = options
    this.#busBytes = busBytes
    this.#blockBytes = block
    const { length } = options.contents
    if (length === 0 || length % block !== 0 || length > LARGEST_BYTES) {
      const expected = `whole blocks of ${block} bytes, at most ${LARGEST_BYTES}`
      throw new DeviceError('ERR_OPTION', `${this.name}: contents of ${length} bytes: expected ${expected}`)
    }
    const { bytes = length, blockBytes = 1 } = options.medium?.properties ?? {}
    if (bytes < length || block % blockBytes !== 0) {
      const found = `${bytes} bytes in blocks of ${blockBytes}`
      throw new DeviceError(
        'ERR_OPTION',
        `${this.name}: a medium of ${found}: expected ${length} bytes, in blocks that divide ${block}`,
      )
    }
    this.#query = cfiQuery(length, block, busBytes)
    this.#locked = new Uint8Array(length / block)
  }

  /** Maps the memory. */
  attach(context: DeviceContext): void {
    const { gpa, contents, medium } = this.#options
    const handler: RangeHandler = {
      read: (offset: number, size: AccessSize): number => this.#read(offset, size),
      write: (offset: number, size: AccessSize, value: number): void | Promise<void> =>
        this.#write(offset, size, value),
    }
    const memory = context.ownMemory({
      name: 'contents',
      bytes: contents.length,
      kind: 'rom',
      executable: true,
      contents,
      handler,
      saved: this.#options.readOnly !== true,
    })
    if (memory.view === null) {
      throw new DeviceError('ERR_PERMISSION', `${this.name}: expected its memory within reach of the model`)
    }
    this.#memory = memory
    this.#bytes = memory.view
    if (medium !== undefined) this.#writes = new OrderedWrites(this.#bytes, medium)
    context.mapMemory(gpa, memory, { maximumAccess: this.#busBytes })
  }

  /** Resolves when the medium holds all changes of the guest. */
  async settled(): Promise<void> {
    await this.#writes?.settled()
  }

  #read(offset: number, size: number): number {
    const isMemory = this.#r.pending === 'none' && this.#r.mode === 'array'
    if (isMemory || this.#options.isTrusted?.() === false) return this.#stored(offset, size)
    // One byte of each chip's answer is enough: the upper half of its word is 0.
    const said = this.#said(offset)
    return this.#busBytes === 1 ? said : this.#lanes(said, offset, size)
  }

  /** Returns the bus value for two chips side by side that answer with the same byte. */
  #lanes(said: number, offset: number, size: number): number {
    if (size === 4) return said * 0x1_0001
    return (offset & 1) === 0 ? said : 0
  }

  #stored(offset: number, size: number): number {
    let value = 0
    for (let i = 0; i < size; i++) value += this.#bytes[offset + i]! * 2 ** (8 * i)
    return value
  }

  /** Returns a chip's value at an offset. */
  #said(offset: number): number {
    if (this.#r.pending !== 'none' || this.#r.mode === 'status') return this.#r.status
    if (this.#r.mode === 'query') return this.#query[Math.floor(offset / this.#busBytes) & 0xff] ?? 0
    return this.#identifier(offset)
  }

  #identifier(offset: number): number {
    switch (Math.floor((offset % this.#blockBytes) / this.#busBytes)) {
      case 0:
        return MANUFACTURER
      case 1:
        return DEVICE_CODE
      case 2:
        return this.#isLocked(offset) ? 1 : 0
      default:
        return 0
    }
  }

  #isLocked(offset: number): boolean {
    return this.#options.readOnly === true || this.#locked[Math.floor(offset / this.#blockBytes)] === 1
  }

  #write(offset: number, size: number, data: number): void | Promise<void> {
    // Adjacent chips get the same command.
    const value = data & 0xff
    if (this.#options.isTrusted?.() === false) return
    const pending = this.#r.pending
    switch (pending) {
      case 'none':
        return this.#command(value)
      case 'program':
        this.#end()
        return this.#program(offset, size, data)
      case 'erase':
        this.#end()
        return value === CONFIRM ? this.#erase(offset) : this.#fail(SEQUENCE_ERROR)
      case 'lock':
        this.#end()
        return this.#lock(offset, value)
      case 'buffer-count':
        // The count is in words of the chips, minus one.
        this.#r.bufferLeft = ((this.#busBytes === 1 ? data : data & 0xffff) + 1) * this.#busBytes
        if (this.#r.bufferLeft > WRITE_BUFFER_BYTES * this.#busBytes) return this.#abandon()
        this.#r.pending = 'buffer-data'
        return
      case 'buffer-data':
        return this.#fill(offset, size, data)
      case 'buffer-confirm':
        return value === CONFIRM ? this.#programBuffer() : this.#abandon()
    }
  }

  #command(value: number): void {
    switch (value) {
      case READ_ARRAY:
        return this.#show('array')
      case READ_IDENTIFIER:
        return this.#show('identifier')
      case READ_QUERY:
        return this.#show('query')
      case CLEAR_STATUS:
        this.#r.status = 0
        return this.#show('array')
      case PROGRAM:
      case PROGRAM_ALTERNATE:
        return this.#begin('program')
      case ERASE:
        return this.#begin('erase')
      case LOCK_SETUP:
        return this.#begin('lock')
      case WRITE_TO_BUFFER:
        this.#r.status |= READY
        this.#r.buffer = []
        this.#r.bufferStart = -1
        return this.#begin('buffer-count')
      case READ_STATUS:
      // Every operation is instantaneous, so none can be suspended or resumed.
      case SUSPEND:
      case CONFIRM:
        return this.#show('status')
      default:
        // An unknown command changes nothing.
        return
    }
  }

  #begin(pending: Pending): void {
    this.#r.pending = pending
    this.#show('status')
  }

  #end(): void {
    this.#r.pending = 'none'
  }

  #show(mode: ReadMode): void {
    this.#r.mode = mode
    const memory = mode === 'array' && this.#r.pending === 'none'
    this.#memory?.setMode(memory ? 'memory' : 'trapped')
  }

  #fail(error: number): void {
    this.#r.status |= READY | error
  }

  #abandon(): void {
    this.#end()
    this.#fail(SEQUENCE_ERROR)
  }

  /** Whether a block may be changed; otherwise the status says why not. */
  #mayChange(offset: number, error: number): boolean {
    if (this.#isLocked(offset)) this.#fail(error | LOCKED)
    else if (this.#writes?.failed === true) this.#fail(error | VOLTAGE_ERROR)
    else {
      this.#r.status |= READY
      return true
    }
    return false
  }

  #program(offset: number, size: number, data: number): void | Promise<void> {
    if (!this.#mayChange(offset, PROGRAM_ERROR)) return
    for (let i = 0; i < size; i++) this.#bytes[offset + i]! &= data >>> (8 * i)
    return this.#changed(offset, size)
  }

  #erase(offset: number): void | Promise<void> {
    if (!this.#mayChange(offset, ERASE_ERROR)) return
    const start = offset - (offset % this.#blockBytes)
    this.#bytes.fill(0xff, start, start + this.#blockBytes)
    return this.#changed(start, this.#blockBytes)
  }

  #changed(offset: number, length: number): void | Promise<void> {
    this.#memory?.modified(offset, length)
    return this.#writes?.changed(offset, length)
  }

  /** Sets the lock bit of one block, or clears the lock bits of all blocks. */
  #lock(offset: number, value: number): void {
    if (value === SET_LOCK) this.#locked[Math.floor(offset / this.#blockBytes)] = 1
    else if (value === CONFIRM) this.#locked.fill(0)
    else return this.#fail(SEQUENCE_ERROR)
    this.#r.status |= READY
  }

  /** Buffers bytes to program; aborts the command for bytes outside the write buffer's window or the first byte's block. */
  #fill(offset: number, size: number, data: number): void {
    if (this.#r.bufferStart < 0) this.#r.bufferStart = offset
    const block = offset - (offset % this.#blockBytes)
    const inPlace = offset >= this.#r.bufferStart && offset < this.#r.bufferStart + WRITE_BUFFER_BYTES * this.#busBytes
    if (!inPlace || this.#r.bufferStart < block) return this.#abandon()
    for (let i = 0; i < size; i++) this.#r.buffer.push([offset + i, (data >>> (8 * i)) & 0xff])
    this.#r.bufferLeft -= size
    if (this.#r.bufferLeft <= 0) this.#r.pending = 'buffer-confirm'
  }

  #programBuffer(): void | Promise<void> {
    this.#end()
    const buffer = this.#r.buffer
    this.#r.buffer = []
    if (!this.#mayChange(this.#r.bufferStart, PROGRAM_ERROR)) return
    let last = this.#r.bufferStart
    for (const [offset, value] of buffer) {
      this.#bytes[offset]! &= value
      last = Math.max(last, offset)
    }
    return this.#changed(this.#r.bufferStart, last + 1 - this.#r.bufferStart)
  }

  /** Takes over a saved state. Throws `DeviceError` `ERR_STATE` for one that does not fit. */
  override restore(state: unknown): void {
    super.restore(state)
    this.#behind = true
  }

  /** Waits until the medium has all changes. */
  quiesce(): Promise<void> {
    return this.settled()
  }

  /** Writes a restored memory's contents to the medium. */
  resume(): void {
    if (this.#behind) void this.#writes?.changed(0, this.#bytes.length)
    this.#behind = false
  }
}
