import { type BlockBackend, DeviceError } from '@retrap/device'
import { capacity10, capacity16, inquiry, modePages, mostBlocks, MOST_RANGES, productData } from './disk-payloads.ts'
import { be16, be32, be64, SENSE, type ScsiCommands, type ScsiOutcome, type ScsiSense, senseData } from './scsi-unit.ts'

/** Options of {@link ScsiDisk}. */
export interface ScsiDiskOptions {
  /** The disk. */
  readonly medium: BlockBackend
  /** At most 36 ASCII characters; default the medium's own. */
  readonly serialNumber?: string
  /** At most 16 ASCII characters; default `DISK`. */
  readonly model?: string
}

const GOOD: ScsiOutcome = { kind: 'good' }
const failed = (sense: ScsiSense): ScsiOutcome => ({ kind: 'failed', sense })
const BAD_FIELD = failed(SENSE.badField)
const FORCE_UNIT_ACCESS = 0x08
const MOST_SERIAL = 36

const REQUEST_SENSE = 0x03
const INQUIRY = 0x12
/** These are answered while a unit attention waits, and leave it. REQUEST SENSE reports it. */
const BEFORE_ATTENTION: ReadonlySet<number> = new Set([REQUEST_SENSE, INQUIRY])

/**
 * Commands of a disk, as BIOSes, boot loaders and kernels use them.
 *
 * Sources: SPC-4 (T10/BSR INCITS 513), SBC-3 (T10/BSR INCITS 514).
 */
export class ScsiDisk implements ScsiCommands {
  readonly #medium: BlockBackend
  readonly #serial: string
  readonly #model: string
  /** What the driver has not been told of. */
  #attention: ScsiSense | null = SENSE.powerOn

  /** @throws DeviceError `ERR_OPTION` */
  constructor({ medium, serialNumber, model = 'DISK' }: ScsiDiskOptions) {
    const serial = serialNumber ?? medium.properties.serialNumber ?? '0'
    if (!/^[\x20-\x7e]*$/.test(serial) || (serialNumber?.length ?? 0) > MOST_SERIAL)
      throw new DeviceError('ERR_OPTION', `serial number '${serial}': expected at most ${MOST_SERIAL} ASCII characters`)
    this.#medium = medium
    this.#serial = serial.slice(0, MOST_SERIAL)
    this.#model = model
    medium.onChange(() => (this.#attention = SENSE.capacityChanged))
  }

  get #blocks(): number {
    const { bytes, blockBytes } = this.#medium.properties
    return Math.floor(bytes / blockBytes)
  }

  /** Executes a command. */
  execute(command: Uint8Array, data: (bytes: number) => Uint8Array | null): ScsiOutcome {
    const opcode = command[0]!
    const attention = this.#attention
    if (attention !== null && !BEFORE_ATTENTION.has(opcode)) {
      this.#attention = null
      return failed(attention)
    }
    switch (opcode) {
      case REQUEST_SENSE:
        this.#attention = null
        return { kind: 'data', bytes: senseData(attention ?? SENSE.none), most: command[4]! }
      case INQUIRY:
        return this.#inquiry(command)
      case 0x15: // MODE SELECT(6)
      case 0x55: // MODE SELECT(10)
        return BAD_FIELD
      case 0x1a: // MODE SENSE(6)
        return this.#modeSense(command, command[4]!)
      case 0x5a: // MODE SENSE(10)
        return this.#modeSense(command, be16(command, 7))
      case 0x1b: // START STOP UNIT
      case 0x1e: // PREVENT ALLOW MEDIUM REMOVAL
        return GOOD
      default:
        return this.#blocks === 0 ? failed(SENSE.noMedium) : this.#ofMedium(command, data)
    }
  }

  #inquiry(command: Uint8Array): ScsiOutcome {
    const most = be16(command, 3)
    if ((command[1]! & 1) === 0) {
      if (command[2] !== 0) return BAD_FIELD
      return { kind: 'data', bytes: inquiry(this.#model), most }
    }
    const bytes = productData(command[2]!, this.#serial, this.#medium.properties)
    return bytes === null ? BAD_FIELD : { kind: 'data', bytes, most }
  }

  #modeSense(command: Uint8Array, most: number): ScsiOutcome {
    const control = command[2]! >> 6
    if (control === 3) return failed(SENSE.noSavedPages)
    const form = { changeable: control === 1, long: command[0] === 0x5a }
    const bytes = modePages(command[2]! & 0x3f, this.#medium.properties, form)
    return bytes === null ? BAD_FIELD : { kind: 'data', bytes, most }
  }

  #ofMedium(command: Uint8Array, data: (bytes: number) => Uint8Array | null): ScsiOutcome {
    const { properties } = this.#medium
    switch (command[0]!) {
      case 0x00: // TEST UNIT READY
        return GOOD
      case 0x25: // READ CAPACITY(10)
        return { kind: 'data', bytes: capacity10(this.#blocks, properties.blockBytes), most: 8 }
      case 0x9e: // SERVICE ACTION IN(16): READ CAPACITY(16)
        if ((command[1]! & 0x1f) !== 0x10) return failed(SENSE.unknownCommand)
        return { kind: 'data', bytes: capacity16(this.#blocks, properties), most: be32(command, 10) }
      case 0x08: // READ(6)
      case 0x0a: // WRITE(6)
        return this.#transfer(command, ((command[1]! & 0x1f) << 16) | be16(command, 2), command[4]! || 256, false)
      case 0x28: // READ(10)
      case 0x2a: // WRITE(10)
        return this.#transfer(command, be32(command, 2), be16(command, 7))
      case 0xa8: // READ(12)
      case 0xaa: // WRITE(12)
        return this.#transfer(command, be32(command, 2), be32(command, 6))
      case 0x88: // READ(16)
      case 0x8a: // WRITE(16)
        return this.#transfer(command, be64(command, 2), be32(command, 10))
      case 0x2f: // VERIFY(10): without a comparison, the medium is taken to be good
        return (command[1]! & 6) === 0 ? this.#within(be32(command, 2), be16(command, 7)) : BAD_FIELD
      case 0x8f: // VERIFY(16)
        return (command[1]! & 6) === 0 ? this.#within(be64(command, 2), be32(command, 10)) : BAD_FIELD
      case 0x35: // SYNCHRONIZE CACHE(10)
      case 0x91: // SYNCHRONIZE CACHE(16)
        return { kind: 'flush' }
      case 0x41: // WRITE SAME(10)
        return this.#writeSame(command, be32(command, 2), be16(command, 7), data)
      case 0x93: // WRITE SAME(16)
        return this.#writeSame(command, be64(command, 2), be32(command, 10), data)
      case 0x42: // UNMAP
        return this.#unmap(command, data)
      default:
        return failed(SENSE.unknownCommand)
    }
  }

  #within(first: number, count: number): ScsiOutcome {
    return first + count > this.#blocks ? failed(SENSE.outOfRange) : GOOD
  }

  #transfer(command: Uint8Array, first: number, count: number, hasFlags = true): ScsiOutcome {
    const { properties } = this.#medium
    const writes = (command[0]! & 0x1f) === 0x0a
    if (first + count > this.#blocks) return failed(SENSE.outOfRange)
    if (count > mostBlocks(properties)) return BAD_FIELD
    if (writes && properties.readOnly) return failed(SENSE.readOnly)
    if (count === 0) return GOOD
    if (!writes) return { kind: 'blocks', first, count }
    return { kind: 'write', first, count, durable: hasFlags && (command[1]! & FORCE_UNIT_ACCESS) !== 0 }
  }

  /** The one block of its data is all zeroes, or the blocks may be unmapped: no other data is taken. */
  #writeSame(
    command: Uint8Array,
    first: number,
    count: number,
    data: (bytes: number) => Uint8Array | null,
  ): ScsiOutcome {
    const { readOnly, blockBytes, discards } = this.#medium.properties
    const noData = command[0] === 0x93 && (command[1]! & 1) !== 0
    if (count === 0 || (command[1]! & 0x10) !== 0) return BAD_FIELD
    if (first + count > this.#blocks) return failed(SENSE.outOfRange)
    if (readOnly) return failed(SENSE.readOnly)
    const unmap = (command[1]! & 0x08) !== 0
    if (unmap && !discards) return BAD_FIELD
    const block = noData ? new Uint8Array(0) : data(blockBytes)
    if (block === null || block.some((byte) => byte !== 0)) return BAD_FIELD
    // Unmapped blocks need not read as zeroes, and here they must: the medium decides how.
    return { kind: 'zeroes', ranges: [{ first, count }] }
  }

  #unmap(command: Uint8Array, data: (bytes: number) => Uint8Array | null): ScsiOutcome {
    const { readOnly, discards } = this.#medium.properties
    const length = be16(command, 7)
    if (!discards || (command[1]! & 1) !== 0) return BAD_FIELD
    if (length === 0) return GOOD
    const list = length < 8 ? null : data(length)
    if (list === null) return failed(SENSE.badParameter)
    if (readOnly) return failed(SENSE.readOnly)
    const bytes = Math.min(be16(list, 2), length - 8)
    if (bytes > 16 * MOST_RANGES) return failed(SENSE.badParameter)
    const ranges: { first: number; count: number }[] = []
    for (let at = 8; at + 16 <= 8 + bytes; at += 16) {
      const range = { first: be64(list, at), count: be32(list, at + 8) }
      if (range.first + range.count > this.#blocks) return failed(SENSE.outOfRange)
      if (range.count > 0) ranges.push(range)
    }
    return { kind: 'discard', ranges }
  }

  /** The next command reports that the unit has been reset. */
  powerOn(): void {
    this.#attention = SENSE.powerOn
  }

  /** Returns what the driver has not been told of. */
  save(): unknown {
    return { attention: this.#attention }
  }

  /** Takes over what `save` returned. */
  restore(state: { readonly attention: ScsiSense | null }): void {
    this.#attention = state.attention
  }
}
