import { type BlockBackend, type BlockProperties, DeviceError, Stateful } from '@retrap/device'
import { be16, be24, be32, bytes16, bytes32, text, wholeCommand } from './fields.ts'
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

// The answers of a CD drive. Numbers are big-endian; lengths in headers do not count themselves.

/** Bytes of a block of a data disc. */
export const CD_BLOCK_BYTES = 2048

const PROFILE_CD_ROM = 0x0008
const PROFILE_DVD_ROM = 0x0010
/** Blocks of the largest CD: 99 minutes at 75 a second. */
const CD_BLOCKS = 99 * 60 * 75
const DATA_TRACK = 0x14
const LEAD_OUT = 0xaa
/** The program area begins two seconds after the first address. */
const MSF_OFFSET = 150

/** A block's address as the host asked for it: a number, or minutes, seconds and frames. */
function address(block: number, msf: boolean): readonly number[] {
  if (!msf) return bytes32(block)
  const frames = block + MSF_OFFSET
  return [0, Math.min(255, Math.floor(frames / (60 * 75))), Math.floor(frames / 75) % 60, frames % 75]
}

/** INQUIRY (SPC-3, "Standard INQUIRY data"; 0x21 in byte 3: a packet device's format). */
export function inquiry(model: string): Uint8Array {
  return Uint8Array.of(0x05, 0x80, 0x00, 0x21, 31, 0, 0, 0, ...text('RETRAP', 8), ...text(model, 16), ...text('1.0', 4))
}

/** READ CAPACITY. */
export const capacity = (blocks: number): Uint8Array =>
  Uint8Array.of(...bytes32(blocks - 1), ...bytes32(CD_BLOCK_BYTES))

/**
 * READ TOC of a disc with one session of one data track (MMC-5, "READ TOC/PMA/ATIP").
 *
 * @param first - the track to begin with; 0xAA: the lead-out alone
 * @returns null for a track that does not exist
 */
export function tableOfContents(blocks: number, first: number, msf: boolean): Uint8Array | null {
  if (first > 1 && first !== LEAD_OUT) return null
  const track = first <= 1 ? [0, DATA_TRACK, 1, 0, ...address(0, msf)] : []
  const entries = [...track, 0, DATA_TRACK, LEAD_OUT, 0, ...address(blocks, msf)]
  return Uint8Array.of(...bytes16(entries.length + 2), 1, 1, ...entries)
}

/** READ TOC, format 1: where the last session begins. */
export function sessions(msf: boolean): Uint8Array {
  return Uint8Array.of(...bytes16(10), 1, 1, 0, DATA_TRACK, 1, 0, ...address(0, msf))
}

/** READ SUB-CHANNEL: no audio is being played. */
export const subChannel = (): Uint8Array => Uint8Array.of(0, 0x15, 0, 0)

/** READ DISC INFORMATION: a complete disc of one session. */
export function discInformation(): Uint8Array {
  const bytes = new Uint8Array(34)
  bytes.set([...bytes16(32), 0x0e, 1, 1, 1, 1, 0x20])
  // Last possible lead-in and lead-out: not known.
  bytes.fill(0xff, 16, 24)
  return bytes
}

/** MECHANISM STATUS: no changer. */
export const mechanismStatus = (open: boolean): Uint8Array => Uint8Array.of(0, open ? 0x10 : 0, 0, 0, 0, 0, 0, 0)

const ERROR_RECOVERY = [0x01, 6, 0, 5, 0, 0, 0, 0]
/** CD capabilities (MMC-2): reads CD-R, CD-RW, DVD-ROM; tray, lock, eject; 4x in kilobytes a second. */
const capabilities = (locked: boolean): readonly number[] => [
  ...[0x2a, 18, 0x0b, 0, 0x70, 0, 0x29 | (locked ? 2 : 0), 0],
  ...[...bytes16(706), ...bytes16(2), ...bytes16(512), ...bytes16(706), 0, 0, 0, 0],
]

/** Mode pages: error recovery, capabilities. */
export const cdPages = (locked: boolean): readonly (readonly number[])[] => [ERROR_RECOVERY, capabilities(locked)]

/** Medium type of MODE SENSE: a data disc of 120 mm, or none. */
export const mediumType = (present: boolean): number => (present ? 0x01 : 0x70)

/**
 * GET CONFIGURATION (MMC-5, "Features").
 *
 * @param type - type - 0: all features, 1: the current ones, 2: the feature `first`
 */
export function configuration(blocks: number, first: number, type: number): Uint8Array {
  const isDvd = blocks > CD_BLOCKS
  const present = blocks > 0
  const profile = present ? (isDvd ? PROFILE_DVD_ROM : PROFILE_CD_ROM) : 0
  const feature = (code: number, current: boolean, ...data: readonly number[]) => ({
    code,
    current,
    bytes: [...bytes16(code), 0x00 | (current ? 1 : 0), data.length, ...data],
  })
  const profileRow = (code: number): readonly number[] => [...bytes16(code), code === profile ? 1 : 0, 0]
  const features = [
    feature(0x0000, true, ...profileRow(PROFILE_DVD_ROM), ...profileRow(PROFILE_CD_ROM)),
    feature(0x0001, true, ...bytes32(2), 0, 0, 0, 0), // core: ATAPI
    feature(0x0003, true, 0x29, 0, 0, 0), // removable medium: tray, eject, lock
    feature(0x0010, present, ...bytes32(CD_BLOCK_BYTES), ...bytes16(1), 0, 0), // random readable
    feature(0x001e, present && !isDvd, 0, 0, 0, 0), // CD read
    feature(0x001f, present && isDvd), // DVD read
  ]
  const wanted = features.filter(({ code, current }) =>
    type === 2 ? code === first : code >= first && (type === 0 || current),
  )
  const bytes = wanted.flatMap((one) => one.bytes)
  return Uint8Array.of(...bytes32(bytes.length + 4), 0, 0, ...bytes16(profile), ...bytes)
}

/** The events of the medium in GET EVENT STATUS NOTIFICATION. */
export const MEDIUM_EVENT = { none: 0, ejectRequest: 1, newMedium: 2, removal: 3 } as const

/**
 * GET EVENT STATUS NOTIFICATION.
 *
 * @param classes - requested event classes; only bit 4, media events, is supported
 */
export function eventStatus(classes: number, event: number, state: { open: boolean; present: boolean }): Uint8Array {
  const supported = 1 << 4
  if ((classes & supported) === 0) return Uint8Array.of(0, 2, 0x80, supported)
  const medium = (state.open ? 1 : 0) | (state.present ? 2 : 0)
  return Uint8Array.of(0, 6, 4, supported, event, medium, 0, 0)
}

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
