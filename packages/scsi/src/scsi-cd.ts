import { type BlockBackend, type BlockProperties, DeviceError, Stateful } from '@retrap/device'
import {
  capacity,
  CD_BLOCK_BYTES,
  cdPages,
  configuration,
  discInformation,
  eventStatus,
  inquiry,
  mechanismStatus,
  MEDIUM_EVENT,
  mediumType,
  sessions,
  subChannel,
  tableOfContents,
} from './cd-payloads.ts'
import { be16, be24, be32, wholeCommand } from './fields.ts'
import {
  BAD_FIELD,
  dataOf,
  failed,
  GOOD,
  MODE_SENSE_10,
  MODE_SENSE_6,
  modeSense,
  type ScsiOutcome,
  type ScsiUnit,
} from './scsi-unit.ts'
import { type ScsiSense, SENSE } from './sense.ts'
import { UnitAttention } from './held-sense.ts'

export { CD_BLOCK_BYTES } from './cd-payloads.ts'

/** Options of {@link ScsiCd}. */
export interface ScsiCdOptions {
  /** The disc, in blocks whose size divides 2048 bytes; null: always empty. */
  readonly medium: BlockBackend | null
  /** At most 16 ASCII characters; default `CD-ROM`. */
  readonly model?: string
}

const REQUEST_SENSE = 0x03
const INQUIRY = 0x12
const GET_CONFIGURATION = 0x46
const GET_EVENT_STATUS = 0x4a
/** Executed while a unit attention waits. */
const BEFORE_ATTENTION: ReadonlySet<number> = new Set([REQUEST_SENSE, INQUIRY, GET_CONFIGURATION, GET_EVENT_STATUS])

/**
 * A CD and DVD-ROM drive, as BIOSes, boot loaders and kernels use it.
 *
 * Sources: MMC-5 (T10/1675-D), SPC-3 (T10/1416-D), SFF-8020i for packet devices.
 */
export class ScsiCd extends Stateful implements ScsiUnit {
  /** The disc's medium; null: there is never a disc. */
  readonly medium: BlockBackend | null
  /** Bytes of a block. */
  readonly blockBytes: number = CD_BLOCK_BYTES
  readonly #model: string
  readonly #unwatch: (() => void) | undefined
  readonly #attention = new UnitAttention(BEFORE_ATTENTION)
  readonly #r = this.keeps(
    {
      attention: {
        save: (): ScsiSense | null => this.#attention.sense,
        restore: (sense: ScsiSense | null) => (this.#attention.sense = sense),
      },
      /** An event of the medium that the host has not asked for. */
      event: MEDIUM_EVENT.none as number,
      /** The tray is out. */
      open: false,
      /** The host has locked the tray. */
      locked: false,
      /** The disc is not the one that was there when the command began. */
      exchanged: false,
    },
    { device: 'scsi-cd', settled: (): void => this.#moveTray({}) },
  )
  #exchanges = 0

  /** @throws DeviceError `ERR_OPTION` */
  constructor({ medium, model = 'CD-ROM' }: ScsiCdOptions) {
    super()
    const wrong = medium === null ? null : refuses(medium.properties)
    if (wrong !== null) throw new DeviceError('ERR_OPTION', wrong)
    this.medium = medium
    this.#model = model
    this.#unwatch = medium?.onChange(() => this.#changed())
    medium?.tray?.connect({ refuses, ejectRequested: () => (this.#r.event = MEDIUM_EVENT.ejectRequest) })
  }

  /** Called when the drive is removed: it gets no further changes of its medium. */
  removed(): void {
    this.#unwatch?.()
  }

  #changed(): void {
    this.#r.open = false
    this.#r.exchanged = true
    this.#exchanges++
    const present = this.blocks > 0
    // A disc is taken out of an open tray.
    this.#moveTray({ open: !present })
    if (present) this.#attention.sense = SENSE.mediumChanged
    this.#r.event = present ? MEDIUM_EVENT.newMedium : MEDIUM_EVENT.removal
  }

  #moveTray(change: Partial<{ open: boolean; locked: boolean }>): void {
    Object.assign(this.#r, change)
    const { open, locked } = this.#r
    this.medium?.tray?.moved({ open, locked })
  }

  /** How often the disc has been exchanged or taken out. */
  get exchanges(): number {
    return this.#exchanges
  }

  /** Number of the medium's blocks; 0: no disc. */
  get blocks(): number {
    if (this.medium === null || this.#r.open) return 0
    return Math.floor(this.medium.properties.bytes / CD_BLOCK_BYTES)
  }

  /** Returns to the state after power-on. */
  powerOn(): void {
    this.#attention.sense = SENSE.powerOn
    this.#r.event = MEDIUM_EVENT.none
    this.#moveTray({ open: false, locked: false })
  }

  /** Why the command cannot read on: the disc has been exchanged or taken out since it began. Null: it can. */
  takeExchange(): ScsiSense | null {
    return this.#r.exchanged ? this.senseOfExchange() : null
  }

  /** The sense of a command during which the disc was exchanged or taken out. */
  senseOfExchange(): ScsiSense {
    if (this.blocks === 0) return SENSE.noMedium
    // The host is told by this command.
    this.#attention.sense = null
    return SENSE.mediumChanged
  }

  /** Returns 0: no command takes data. */
  parameterBytes(): number {
    return 0
  }

  /** Executes a command. */
  execute(given: Uint8Array): ScsiOutcome {
    this.#r.exchanged = false
    const packet = wholeCommand(given)
    const opcode = packet[0]!
    const refused = this.#attention.refuse(opcode)
    if (refused !== null) return refused
    switch (opcode) {
      case REQUEST_SENSE:
        return this.#attention.report(packet)
      case INQUIRY:
        // No vital product data.
        if ((packet[1]! & 1) !== 0 || packet[2] !== 0) return BAD_FIELD
        return dataOf(inquiry(this.#model), packet[4]!)
      case 0x1b: // START STOP UNIT
        return this.#startStop(packet[4]!)
      case 0x1e: // PREVENT ALLOW MEDIUM REMOVAL
        this.#moveTray({ locked: (packet[4]! & 1) !== 0 })
        return GOOD
      case GET_CONFIGURATION: {
        const type = packet[1]! & 3
        if (type === 3) return BAD_FIELD
        return dataOf(configuration(this.blocks, be16(packet, 2), type), be16(packet, 7))
      }
      case GET_EVENT_STATUS:
        return this.#eventStatus(packet)
      case MODE_SENSE_6:
      case MODE_SENSE_10:
        return modeSense(packet, cdPages(this.#r.locked), { mediumType: mediumType(this.blocks > 0), flags: 0 })
      case 0xbb: // SET CD SPEED
        return GOOD
      case 0xbd: // MECHANISM STATUS
        return dataOf(mechanismStatus(this.#r.open), be16(packet, 8))
      default: {
        const command = ScsiCd.#OF_MEDIUM[opcode]
        if (command === undefined) return failed(SENSE.unknownCommand)
        return this.blocks === 0 ? failed(SENSE.noMedium) : command(this, packet)
      }
    }
  }

  /** Commands that need a medium. */
  static readonly #OF_MEDIUM: Readonly<Record<number, (cd: ScsiCd, packet: Uint8Array) => ScsiOutcome>> = {
    0x00: () => GOOD, // TEST UNIT READY
    0x25: (cd) => dataOf(capacity(cd.blocks), 8), // READ CAPACITY
    0x28: (cd, packet) => cd.#read(be32(packet, 2), be16(packet, 7)), // READ(10)
    0xa8: (cd, packet) => cd.#read(be32(packet, 2), be32(packet, 6)), // READ(12)
    0xbe: (cd, packet) => cd.#readCd(packet), // READ CD
    0x2b: (cd, packet) => (be32(packet, 2) < cd.blocks ? GOOD : failed(SENSE.outOfRange)), // SEEK(10)
    0x42: (_, packet) => dataOf(subChannel(), be16(packet, 7)), // READ SUB-CHANNEL
    0x43: (cd, packet) => cd.#readToc(packet), // READ TOC/PMA/ATIP
    0x51: (_, packet) => dataOf(discInformation(), be16(packet, 7)), // READ DISC INFORMATION
  }

  #read(first: number, count: number): ScsiOutcome {
    if (first + count > this.blocks) return failed(SENSE.outOfRange)
    return count === 0 ? GOOD : { kind: 'blocks', first, count }
  }

  /** Of a block's parts only the user data is kept in an image. */
  #readCd(packet: Uint8Array): ScsiOutcome {
    const type = (packet[1]! >> 2) & 7
    const parts = packet[9]! & 0xf8
    // Any type, mode 1, or mode 2 form 1: those have 2048 bytes.
    if (![0, 2, 4].includes(type) || packet[10] !== 0) return BAD_FIELD
    if (parts === 0) return GOOD
    return parts === 0x10 ? this.#read(be32(packet, 2), be24(packet, 6)) : BAD_FIELD
  }

  #readToc(packet: Uint8Array): ScsiOutcome {
    const msf = (packet[1]! & 2) !== 0
    // Older commands have the format in the control byte.
    const format = packet[2]! & 15 || packet[9]! >> 6
    const most = be16(packet, 7)
    if (format === 1) return { kind: 'data', bytes: sessions(msf), most }
    const bytes = format === 0 ? tableOfContents(this.blocks, packet[6]!, msf) : null
    return bytes === null ? BAD_FIELD : { kind: 'data', bytes, most }
  }

  #startStop(what: number): ScsiOutcome {
    const load = (what & 2) !== 0
    const start = (what & 1) !== 0
    if (!load || start !== this.#r.open) return GOOD
    if (!start && this.#r.locked) return failed(SENSE.removalPrevented)
    this.#moveTray({ open: !start })
    this.#r.event = MEDIUM_EVENT.removal
    if (start && this.blocks > 0) this.#changed()
    return GOOD
  }

  #eventStatus(packet: Uint8Array): ScsiOutcome {
    // Only polling: nothing here waits for an event.
    if ((packet[1]! & 1) === 0) return BAD_FIELD
    const bytes = eventStatus(packet[4]!, this.#r.event, { open: this.#r.open, present: this.blocks > 0 })
    if ((packet[4]! & 0x10) !== 0) this.#r.event = MEDIUM_EVENT.none
    return { kind: 'data', bytes, most: be16(packet, 7) }
  }
}

/** Returns why a drive refuses such a disc; null: accepted. */
const refuses = ({ blockBytes }: BlockProperties): string | null =>
  CD_BLOCK_BYTES % blockBytes === 0 ? null : `a disc with blocks of ${blockBytes} bytes: expected a divisor of 2048`
