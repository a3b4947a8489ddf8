import { type BlockBackend, type BlockProperties, DeviceError } from '@retrap/device'
import { be16, be24, be32, be64, bytes16, bytes32, bytes64, text, wholeCommand } from './fields.ts'
import {
  BAD_FIELD,
  dataOf,
  failed,
  GOOD,
  MODE_SENSE_10,
  MODE_SENSE_6,
  modeSense,
  reportUnits,
  type ScsiOutcome,
  type ScsiUnit,
} from './scsi-unit.ts'
import { type ScsiSense, SENSE } from './sense.ts'
import { UnitAttention } from './held-sense.ts'

// The answers of a disk. Numbers are big-endian; lengths in headers do not count themselves.

/** Recommended largest transfer: usually also the limit of one command. */
export const MOST_TRANSFER_BYTES: number = 4 << 20
/** Most ranges of one UNMAP. */
export const MOST_RANGES = 256
/** Most blocks of all ranges of one UNMAP, and of one WRITE SAME. */
export const MOST_RANGE_BLOCKS = 0x40_0000

/**
 * INQUIRY (SPC-4, "Standard INQUIRY data").
 *
 * @param queue - whether the host may have several commands under way
 */
export function inquiry(model: string, queue: boolean): Uint8Array {
  const names = [...text('RETRAP', 8), ...text(model, 16), ...text('1.0', 4)]
  return Uint8Array.of(0, 0, 0x06, 0x12, 31, 0, 0, queue ? 0x02 : 0, ...names)
}

const page = (code: number, bytes: readonly number[]): Uint8Array =>
  Uint8Array.of(0, code, ...bytes16(bytes.length), ...bytes)

/**
 * INQUIRY of vital product data (SPC-4, "Vital product data parameters"; SBC-3, "Vital product data parameters").
 *
 * @param most - most blocks of one command
 * @returns null for an unsupported page
 */
export function productData(
  code: number,
  {
    serial,
    most,
    properties,
  }: { readonly serial: string; readonly most: number; readonly properties: BlockProperties },
): Uint8Array | null {
  const { blockBytes, physicalBlockBytes, discards } = properties
  switch (code) {
    case 0x00:
      return page(code, [0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2])
    case 0x80:
      return page(code, text(serial, serial.length))
    case 0x83: {
      // T10 vendor identification, ASCII, of the logical unit.
      const name = [...text('RETRAP', 8), ...text(serial, serial.length)]
      return page(code, [0x02, 0x01, 0, name.length, ...name])
    }
    case 0xb0: {
      const best = Math.min(most, Math.floor(MOST_TRANSFER_BYTES / blockBytes))
      const unmap = discards
        ? [...bytes32(MOST_RANGE_BLOCKS), ...bytes32(MOST_RANGES), ...bytes32(physicalBlockBytes / blockBytes)]
        : [...bytes32(0), ...bytes32(0), ...bytes32(0)]
      return page(code, [
        // WSNZ: WRITE SAME with zero blocks does not mean the whole medium.
        ...[1, 0, ...bytes16(1), ...bytes32(most), ...bytes32(best)],
        ...[...bytes32(0), ...unmap, ...bytes32(discards ? 0x8000_0000 : 0), ...bytes64(MOST_RANGE_BLOCKS)],
        ...new Uint8Array(20),
      ])
    }
    case 0xb1:
      // Non-rotating medium.
      return page(code, [...bytes16(1), ...new Uint8Array(58)])
    case 0xb2:
      // UNMAP, WRITE SAME(16) and (10) may deallocate; blocks that are unmapped read as anything.
      return page(code, [0, discards ? 0xe0 : 0, discards ? 2 : 0, 0])
    default:
      return null
  }
}

/** READ CAPACITY(10). */
export const capacity10 = (blocks: number, blockBytes: number): Uint8Array =>
  Uint8Array.of(...bytes32(Math.min(blocks - 1, 0xffff_ffff)), ...bytes32(blockBytes))

/** READ CAPACITY(16). */
export function capacity16(blocks: number, { blockBytes, physicalBlockBytes, discards }: BlockProperties): Uint8Array {
  const exponent = Math.min(15, Math.log2(physicalBlockBytes / blockBytes))
  const bytes = [...bytes64(blocks - 1), ...bytes32(blockBytes), 0, exponent, discards ? 0x80 : 0, 0]
  return Uint8Array.of(...bytes, ...new Uint8Array(16))
}

/** READ FORMAT CAPACITIES (MMC-5): the one medium is formatted. */
export const formatCapacities = (blocks: number, blockBytes: number): Uint8Array =>
  Uint8Array.of(0, 0, 0, 8, ...bytes32(Math.min(blocks, 0xffff_ffff)), 2, ...bytes32(blockBytes).slice(1))

/** Mode pages (SPC-4, SBC-3): error recovery, caching (there is a write cache) and control. */
export const DISK_PAGES: readonly (readonly number[])[] = [
  [0x01, 10, 0x80, ...new Uint8Array(9)],
  [0x08, 18, 0x04, ...new Uint8Array(17)],
  [0x0a, 10, 0, 0x10, ...new Uint8Array(8)],
]

/** Options of {@link ScsiDisk}. */
export interface ScsiDiskOptions {
  /** The disk. */
  readonly medium: BlockBackend
  /** At most 36 ASCII characters; default the medium's own. */
  readonly serialNumber?: string
  /** At most 16 ASCII characters; default `DISK`. */
  readonly model?: string
  /** Whether the host may have several commands under way; default true. */
  readonly commandQueue?: boolean
  /** Data of one command that reads or writes, in bytes below 2^32; default `MOST_TRANSFER_BYTES`. */
  readonly maximumBytes?: number
}

/** Saved form of a {@link ScsiDisk}. */
export interface ScsiDiskState {
  /** A unit attention that the host has not been told of. */
  readonly attention: ScsiSense | null
}

const NOTHING = new Uint8Array(0)
const FORCE_UNIT_ACCESS = 0x08
const MOST_SERIAL = 36

const TEST_UNIT_READY = 0x00
const REQUEST_SENSE = 0x03
const READ_6 = 0x08
const WRITE_6 = 0x0a
const INQUIRY = 0x12
const MODE_SELECT_6 = 0x15
const START_STOP_UNIT = 0x1b
const PREVENT_REMOVAL = 0x1e
const READ_FORMAT_CAPACITIES = 0x23
const READ_CAPACITY_10 = 0x25
const READ_10 = 0x28
const WRITE_10 = 0x2a
const VERIFY_10 = 0x2f
const SYNCHRONIZE_CACHE_10 = 0x35
const WRITE_SAME_10 = 0x41
const UNMAP = 0x42
const MODE_SELECT_10 = 0x55
const READ_16 = 0x88
const WRITE_16 = 0x8a
const VERIFY_16 = 0x8f
const SYNCHRONIZE_CACHE_16 = 0x91
const WRITE_SAME_16 = 0x93
const SERVICE_ACTION_IN = 0x9e
const REPORT_LUNS = 0xa0
const READ_12 = 0xa8
const WRITE_12 = 0xaa

/** Service action of READ CAPACITY(16). */
const READ_CAPACITY_16 = 0x10
/** RDPROTECT, WRPROTECT or VRPROTECT in byte 1: checks of protection information, which is not supported. */
const PROTECT = 0xe0
/** BYTCHK of VERIFY: the host sends data to compare with. */
const COMPARE = 0x06
/** In WRITE SAME: ANCHOR, and two obsolete bits that have addresses written into the data. */
const UNKNOWN_SAME = 0x16
const MAY_UNMAP = 0x08
const NO_DATA = 0x01
const ANCHOR = 0x01
const RANGE_LIST = 8
const RANGE_BYTES = 16

/** Executed while a unit attention waits. */
const BEFORE_ATTENTION: ReadonlySet<number> = new Set([REQUEST_SENSE, INQUIRY, REPORT_LUNS])

type Command = (disk: ScsiDisk, command: Uint8Array, parameters: Uint8Array) => ScsiOutcome

/**
 * A disk, as BIOSes, boot loaders and kernels use it.
 *
 * Sources: SPC-4 (T10/BSR INCITS 513), SBC-3 (T10/BSR INCITS 514).
 */
export class ScsiDisk implements ScsiUnit {
  /** The disk's medium. */
  readonly medium: BlockBackend
  readonly #serial: string
  readonly #model: string
  readonly #queue: boolean
  readonly #maximumBytes: number
  readonly #attention = new UnitAttention(BEFORE_ATTENTION)
  readonly #unwatch: () => void
  /** Bytes of the medium at its last change. */
  #bytes: number

  /** @throws DeviceError `ERR_OPTION` */
  constructor({
    medium,
    serialNumber,
    model = 'DISK',
    commandQueue = true,
    maximumBytes = MOST_TRANSFER_BYTES,
  }: ScsiDiskOptions) {
    const serial = serialNumber ?? medium.properties.serialNumber ?? '0'
    if (!/^[\x20-\x7e]*$/.test(serial) || (serialNumber?.length ?? 0) > MOST_SERIAL)
      throw new DeviceError('ERR_OPTION', `serial number '${serial}': expected at most ${MOST_SERIAL} ASCII characters`)
    if (!(maximumBytes >= medium.properties.blockBytes && maximumBytes < 2 ** 32))
      throw new DeviceError('ERR_OPTION', `maximumBytes ${maximumBytes}: expected at least a block, below 4 GiB`)
    this.medium = medium
    this.#serial = serial.slice(0, MOST_SERIAL)
    this.#model = model
    this.#queue = commandQueue
    this.#maximumBytes = maximumBytes
    this.#bytes = medium.properties.bytes
    this.#unwatch = medium.onChange(() => this.#changed())
  }

  /** Called when the disk is removed: it gets no further changes of its medium. */
  removed(): void {
    this.#unwatch()
  }

  /** Bytes of a block. */
  get blockBytes(): number {
    return this.medium.properties.blockBytes
  }

  get #blocks(): number {
    return Math.floor(this.medium.properties.bytes / this.blockBytes)
  }

  get #mostBlocks(): number {
    return Math.floor(this.#maximumBytes / this.blockBytes)
  }

  #changed(): void {
    const { bytes } = this.medium.properties
    const resized = bytes !== this.#bytes && bytes > 0 && this.#bytes > 0
    this.#bytes = bytes
    this.#attention.sense = resized ? SENSE.capacityChanged : SENSE.mediumChanged
  }

  /** Returns the number of parameter bytes of a command, besides data to write. */
  parameterBytes(given: Uint8Array): number {
    const command = wholeCommand(given)
    switch (command[0]) {
      case UNMAP:
        return be16(command, 7)
      case WRITE_SAME_10:
        return this.blockBytes
      case WRITE_SAME_16:
        return (command[1]! & NO_DATA) === 0 ? this.blockBytes : 0
      default:
        return 0
    }
  }

  /** Executes a command. */
  execute(given: Uint8Array, parameters: Uint8Array = NOTHING): ScsiOutcome {
    const command = wholeCommand(given)
    const opcode = command[0]!
    const refused = this.#attention.refuse(opcode)
    if (refused !== null) return refused
    const always = ScsiDisk.#ALWAYS[opcode]
    if (always !== undefined) return always(this, command, parameters)
    if (this.#blocks === 0) return failed(SENSE.noMedium)
    return ScsiDisk.#OF_MEDIUM[opcode]?.(this, command, parameters) ?? failed(SENSE.unknownCommand)
  }

  /** Commands that need no medium. */
  static readonly #ALWAYS: Readonly<Record<number, Command>> = {
    [REQUEST_SENSE]: (disk, command) => disk.#attention.report(command),
    [INQUIRY]: (disk, command) => disk.#inquiry(command),
    [REPORT_LUNS]: (_, command) => reportUnits(command),
    [MODE_SELECT_6]: () => BAD_FIELD,
    [MODE_SELECT_10]: () => BAD_FIELD,
    [MODE_SENSE_6]: (disk, command) => disk.#modeSense(command),
    [MODE_SENSE_10]: (disk, command) => disk.#modeSense(command),
    [START_STOP_UNIT]: () => GOOD,
    [PREVENT_REMOVAL]: () => GOOD,
  }

  static readonly #OF_MEDIUM: Readonly<Record<number, Command>> = {
    [TEST_UNIT_READY]: () => GOOD,
    [READ_CAPACITY_10]: (disk) => dataOf(capacity10(disk.#blocks, disk.blockBytes), 8),
    [READ_FORMAT_CAPACITIES]: (disk, c) => dataOf(formatCapacities(disk.#blocks, disk.blockBytes), be16(c, 7)),
    [SERVICE_ACTION_IN]: (disk, c) =>
      (c[1]! & 0x1f) === READ_CAPACITY_16
        ? dataOf(capacity16(disk.#blocks, disk.medium.properties), be32(c, 10))
        : BAD_FIELD,
    [READ_6]: (disk, c) => disk.#transfer(c, be24(c, 1) & 0x1f_ffff, c[4]! || 256, 0),
    [WRITE_6]: (disk, c) => disk.#transfer(c, be24(c, 1) & 0x1f_ffff, c[4]! || 256, 0),
    [READ_10]: (disk, c) => disk.#transfer(c, be32(c, 2), be16(c, 7)),
    [WRITE_10]: (disk, c) => disk.#transfer(c, be32(c, 2), be16(c, 7)),
    [READ_12]: (disk, c) => disk.#transfer(c, be32(c, 2), be32(c, 6)),
    [WRITE_12]: (disk, c) => disk.#transfer(c, be32(c, 2), be32(c, 6)),
    [READ_16]: (disk, c) => disk.#transfer(c, be64(c, 2), be32(c, 10)),
    [WRITE_16]: (disk, c) => disk.#transfer(c, be64(c, 2), be32(c, 10)),
    [VERIFY_10]: (disk, c) => disk.#verify(c, be32(c, 2), be16(c, 7)),
    [VERIFY_16]: (disk, c) => disk.#verify(c, be64(c, 2), be32(c, 10)),
    [SYNCHRONIZE_CACHE_10]: () => ({ kind: 'flush' }),
    [SYNCHRONIZE_CACHE_16]: () => ({ kind: 'flush' }),
    [WRITE_SAME_10]: (disk, c, block) => disk.#writeSame(c, be32(c, 2), be16(c, 7), block),
    [WRITE_SAME_16]: (disk, c, block) => disk.#writeSame(c, be64(c, 2), be32(c, 10), block),
    [UNMAP]: (disk, c, list) => disk.#unmap(c, list),
  }

  #inquiry(command: Uint8Array): ScsiOutcome {
    const most = be16(command, 3)
    const code = command[2]!
    if ((command[1]! & 1) === 0) return code === 0 ? dataOf(inquiry(this.#model, this.#queue), most) : BAD_FIELD
    const { properties } = this.medium
    const bytes = productData(code, { serial: this.#serial, most: this.#mostBlocks, properties })
    return bytes === null ? BAD_FIELD : dataOf(bytes, most)
  }

  /** Write protection; forced unit access is known. */
  #modeSense(command: Uint8Array): ScsiOutcome {
    return modeSense(command, DISK_PAGES, { mediumType: 0, flags: (this.medium.properties.readOnly ? 0x80 : 0) | 0x10 })
  }

  /** Without a comparison, the medium is taken to be good. */
  #verify(command: Uint8Array, first: number, count: number): ScsiOutcome {
    if ((command[1]! & (PROTECT | COMPARE)) !== 0) return BAD_FIELD
    return first + count > this.#blocks ? failed(SENSE.outOfRange) : GOOD
  }

  /** @param flags - byte 1, if the command has flags there */
  #transfer(command: Uint8Array, first: number, count: number, flags = command[1]!): ScsiOutcome {
    const writes = (command[0]! & 0x1f) === WRITE_6
    if ((flags & PROTECT) !== 0) return BAD_FIELD
    if (first + count > this.#blocks) return failed(SENSE.outOfRange)
    if (count > this.#mostBlocks) return BAD_FIELD
    if (writes && this.medium.properties.readOnly) return failed(SENSE.readOnly)
    if (count === 0) return GOOD
    if (!writes) return { kind: 'blocks', first, count }
    return { kind: 'write', first, count, durable: (flags & FORCE_UNIT_ACCESS) !== 0 }
  }

  /** Zeroes are left to the medium, which may unmap them; other data is written. */
  #writeSame(command: Uint8Array, first: number, count: number, block: Uint8Array): ScsiOutcome {
    const { readOnly, discards } = this.medium.properties
    const flags = command[1]!
    if (count === 0 || count > MOST_RANGE_BLOCKS || (flags & (PROTECT | UNKNOWN_SAME)) !== 0) return BAD_FIELD
    if (first + count > this.#blocks) return failed(SENSE.outOfRange)
    if (readOnly) return failed(SENSE.readOnly)
    if ((flags & MAY_UNMAP) !== 0 && !discards) return BAD_FIELD
    if (block.length < this.parameterBytes(command)) return BAD_FIELD
    if (block.some((byte) => byte !== 0)) return { kind: 'same', first, count, block: block.slice(0, this.blockBytes) }
    // Unmapped blocks need not read as zeroes, but here they must: the medium decides how.
    return { kind: 'zeroes', ranges: [{ first, count }] }
  }

  #unmap(command: Uint8Array, list: Uint8Array): ScsiOutcome {
    const { readOnly, discards } = this.medium.properties
    const length = be16(command, 7)
    if (!discards || (command[1]! & ANCHOR) !== 0) return BAD_FIELD
    if (length === 0) return GOOD
    if (length < RANGE_LIST || list.length < length) return failed(SENSE.badParameter)
    if (readOnly) return failed(SENSE.readOnly)
    const bytes = Math.min(be16(list, 2), length - RANGE_LIST)
    if (bytes > RANGE_BYTES * MOST_RANGES) return failed(SENSE.badParameter)
    const ranges: { first: number; count: number }[] = []
    let total = 0
    for (let at = RANGE_LIST; at + RANGE_BYTES <= RANGE_LIST + bytes; at += RANGE_BYTES) {
      const range = { first: be64(list, at), count: be32(list, at + 8) }
      if (range.first + range.count > this.#blocks) return failed(SENSE.outOfRange)
      if (range.count > 0) ranges.push(range)
      total += range.count
    }
    return total > MOST_RANGE_BLOCKS ? failed(SENSE.badParameter) : { kind: 'discard', ranges }
  }

  /** The next command reports that the unit has been reset. */
  powerOn(): void {
    this.#attention.sense = SENSE.powerOn
  }

  /** Returns the state as plain data, without the medium. */
  save(): ScsiDiskState {
    return { attention: this.#attention.sense }
  }

  /** Restores the state that `save` returned. */
  restore({ attention }: ScsiDiskState): void {
    this.#attention.sense = attention
  }
}
