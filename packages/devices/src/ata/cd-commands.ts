import type { BlockBackend } from '@retrap/device'
import {
  capacity,
  configuration,
  discInformation,
  eventStatus,
  inquiry,
  mechanismStatus,
  MEDIUM_EVENT,
  modePages,
  sessions,
  subChannel,
  tableOfContents,
} from './cd-payloads.ts'
import { SENSE, type Sense, senseData } from './sense.ts'

/** Bytes of a block of a data disc. */
export const CD_BLOCK_BYTES = 2048

/** What a packet leads to: nothing more, a reason why not, bytes for the host, or blocks of the medium. */
export type CdOutcome =
  | { readonly kind: 'good' }
  | { readonly kind: 'failed'; readonly sense: Sense }
  | { readonly kind: 'data'; readonly bytes: Uint8Array; readonly most: number }
  | { readonly kind: 'blocks'; readonly first: number; readonly count: number }

/** Saved form of {@link CdCommands}. */
export interface CdCommandsState {
  /** Why the last command failed. */
  readonly sense: Sense
  /** A unit attention that the host has not been told of. */
  readonly attention: Sense | null
  /** An event of the medium that the host has not asked for. */
  readonly event: number
  /** The tray is out. */
  readonly open: boolean
  /** The host has locked the tray. */
  readonly locked: boolean
  /** The disc is not the one that was there when the command began. */
  readonly exchanged: boolean
}

const GOOD: CdOutcome = { kind: 'good' }
const failed = (sense: Sense): CdOutcome => ({ kind: 'failed', sense })
const BAD_FIELD = failed(SENSE.badField)

const be16 = (packet: Uint8Array, at: number): number => (packet[at]! << 8) | packet[at + 1]!
const be32 = (packet: Uint8Array, at: number): number => be16(packet, at) * 0x1_0000 + be16(packet, at + 2)
const be24 = (packet: Uint8Array, at: number): number => (packet[at]! << 16) | be16(packet, at + 1)

const REQUEST_SENSE = 0x03
const INQUIRY = 0x12
const GET_CONFIGURATION = 0x46
const GET_EVENT_STATUS = 0x4a
/** These are answered while a unit attention waits, and leave it. REQUEST SENSE reports it. */
const BEFORE_ATTENTION: ReadonlySet<number> = new Set([REQUEST_SENSE, INQUIRY, GET_CONFIGURATION, GET_EVENT_STATUS])

/**
 * The packet commands of a CD drive: what BIOSes, boot loaders and kernels use of them.
 *
 * Sources: MMC-5 (T10/1675-D), SPC-3 (T10/1416-D), SFF-8020i for packet devices.
 */
export class CdCommands {
  readonly #medium: BlockBackend | null
  readonly #model: string
  #sense: Sense = SENSE.none
  /** A unit attention that the host has not been told of. */
  #attention: Sense | null = SENSE.powerOn
  /** An event of the medium that the host has not asked for. */
  #event: number = MEDIUM_EVENT.none
  /** The tray is out. */
  #open = false
  /** The host has locked the tray. */
  #locked = false
  /** The disc is not the one that was there when the command began. */
  #exchanged = false

  constructor(medium: BlockBackend | null, model: string) {
    this.#medium = medium
    this.#model = model
    medium?.onChange(() => this.#changed())
  }

  #changed(): void {
    this.#open = false
    this.#exchanged = true
    const present = this.blocks > 0
    this.#attention = present ? SENSE.mediumChanged : this.#attention
    this.#event = present ? MEDIUM_EVENT.newMedium : MEDIUM_EVENT.removal
  }

  /** Blocks of the medium; 0: there is none. */
  get blocks(): number {
    if (this.#medium === null || this.#open) return 0
    return Math.floor(this.#medium.properties.bytes / CD_BLOCK_BYTES)
  }

  /** The reason why the last command failed. */
  get sense(): Sense {
    return this.#sense
  }

  /** Returns to the state after power-on. */
  powerOn(): void {
    this.#sense = SENSE.none
    this.#attention = SENSE.powerOn
    this.#event = MEDIUM_EVENT.none
    this.#open = false
    this.#locked = false
  }

  /** The command has failed after it had begun. */
  fail(sense: Sense): void {
    this.#sense = sense
  }

  /** Why the command cannot read on: the disc has been exchanged or taken out since it began. Null: it can. */
  takeExchange(): Sense | null {
    if (!this.#exchanged) return null
    if (this.blocks === 0) return SENSE.noMedium
    // The host is told by this command.
    this.#attention = null
    return SENSE.mediumChanged
  }

  /** Executes a packet of 12 bytes. */
  execute(packet: Uint8Array): CdOutcome {
    this.#exchanged = false
    const outcome = this.#execute(packet)
    if (packet[0] !== REQUEST_SENSE) this.#sense = outcome.kind === 'failed' ? outcome.sense : SENSE.none
    return outcome
  }

  #execute(packet: Uint8Array): CdOutcome {
    const opcode = packet[0]!
    if (this.#attention !== null && !BEFORE_ATTENTION.has(opcode)) {
      const attention = this.#attention
      this.#attention = null
      return failed(attention)
    }
    switch (opcode) {
      case REQUEST_SENSE: {
        const sense = this.#attention ?? this.#sense
        this.#attention = null
        this.#sense = SENSE.none
        return { kind: 'data', bytes: senseData(sense), most: packet[4]! }
      }
      case INQUIRY:
        // No vital product data.
        if ((packet[1]! & 1) !== 0 || packet[2] !== 0) return BAD_FIELD
        return { kind: 'data', bytes: inquiry(this.#model), most: packet[4]! }
      case 0x1b: // START STOP UNIT
        return this.#startStop(packet[4]!)
      case 0x1e: // PREVENT ALLOW MEDIUM REMOVAL
        this.#locked = (packet[4]! & 1) !== 0
        return GOOD
      case GET_CONFIGURATION: {
        const type = packet[1]! & 3
        if (type === 3) return BAD_FIELD
        return { kind: 'data', bytes: configuration(this.blocks, be16(packet, 2), type), most: be16(packet, 7) }
      }
      case GET_EVENT_STATUS:
        return this.#eventStatus(packet)
      case 0x5a: // MODE SENSE(10)
        return this.#modeSense(packet)
      case 0xbb: // SET CD SPEED
        return GOOD
      case 0xbd: // MECHANISM STATUS
        return { kind: 'data', bytes: mechanismStatus(this.#open), most: be16(packet, 8) }
      default:
        return MEDIUM_COMMANDS.has(opcode) ? this.#ofMedium(opcode, packet) : failed(SENSE.unknownCommand)
    }
  }

  /** A command that needs a medium. */
  #ofMedium(opcode: number, packet: Uint8Array): CdOutcome {
    const { blocks } = this
    if (blocks === 0) return failed(SENSE.noMedium)
    switch (opcode) {
      case 0x25: // READ CAPACITY
        return { kind: 'data', bytes: capacity(blocks), most: 8 }
      case 0x28: // READ(10)
        return this.#read(be32(packet, 2), be16(packet, 7))
      case 0xa8: // READ(12)
        return this.#read(be32(packet, 2), be32(packet, 6))
      case 0xbe: // READ CD
        return this.#readCd(packet)
      case 0x2b: // SEEK(10)
        return be32(packet, 2) < blocks ? GOOD : failed(SENSE.outOfRange)
      case 0x42: // READ SUB-CHANNEL
        return { kind: 'data', bytes: subChannel(), most: be16(packet, 7) }
      case 0x43: // READ TOC/PMA/ATIP
        return this.#readToc(packet)
      case 0x51: // READ DISC INFORMATION
        return { kind: 'data', bytes: discInformation(), most: be16(packet, 7) }
      default: // TEST UNIT READY
        return GOOD
    }
  }

  #read(first: number, count: number): CdOutcome {
    if (first + count > this.blocks) return failed(SENSE.outOfRange)
    return count === 0 ? GOOD : { kind: 'blocks', first, count }
  }

  /** Of a block's parts only the user data is kept in an image. */
  #readCd(packet: Uint8Array): CdOutcome {
    const type = (packet[1]! >> 2) & 7
    const parts = packet[9]! & 0xf8
    // Any type, mode 1, or mode 2 form 1: those have 2048 bytes.
    if (![0, 2, 4].includes(type) || packet[10] !== 0) return BAD_FIELD
    if (parts === 0) return GOOD
    return parts === 0x10 ? this.#read(be32(packet, 2), be24(packet, 6)) : BAD_FIELD
  }

  #readToc(packet: Uint8Array): CdOutcome {
    const msf = (packet[1]! & 2) !== 0
    // Older commands have the format in the control byte.
    const format = packet[2]! & 15 || packet[9]! >> 6
    const most = be16(packet, 7)
    if (format === 1) return { kind: 'data', bytes: sessions(msf), most }
    const bytes = format === 0 ? tableOfContents(this.blocks, packet[6]!, msf) : null
    return bytes === null ? BAD_FIELD : { kind: 'data', bytes, most }
  }

  #startStop(what: number): CdOutcome {
    const load = (what & 2) !== 0
    const start = (what & 1) !== 0
    if (!load || start !== this.#open) return GOOD
    if (!start && this.#locked) return failed(SENSE.removalPrevented)
    this.#open = !start
    this.#event = MEDIUM_EVENT.removal
    if (start && this.blocks > 0) this.#changed()
    return GOOD
  }

  #eventStatus(packet: Uint8Array): CdOutcome {
    // Only polling: nothing here waits for an event.
    if ((packet[1]! & 1) === 0) return BAD_FIELD
    const bytes = eventStatus(packet[4]!, this.#event, { open: this.#open, present: this.blocks > 0 })
    if ((packet[4]! & 0x10) !== 0) this.#event = MEDIUM_EVENT.none
    return { kind: 'data', bytes, most: be16(packet, 7) }
  }

  #modeSense(packet: Uint8Array): CdOutcome {
    const control = packet[2]! >> 6
    if (control === 3) return failed(SENSE.noSavedPages)
    const state = { present: this.blocks > 0, locked: this.#locked }
    const bytes = modePages(packet[2]! & 0x3f, state, control === 1)
    return bytes === null ? BAD_FIELD : { kind: 'data', bytes, most: be16(packet, 7) }
  }

  /** Returns its state as plain data. */
  save(): CdCommandsState {
    return {
      sense: this.#sense,
      attention: this.#attention,
      event: this.#event,
      open: this.#open,
      locked: this.#locked,
      exchanged: this.#exchanged,
    }
  }

  /** Takes over what `save` returned. */
  restore(state: CdCommandsState): void {
    this.#sense = state.sense
    this.#attention = state.attention
    this.#event = state.event
    this.#open = state.open
    this.#locked = state.locked
    this.#exchanged = state.exchanged
  }
}

const MEDIUM_COMMANDS: ReadonlySet<number> = new Set([0x00, 0x25, 0x28, 0x2b, 0x42, 0x43, 0x51, 0xa8, 0xbe])
