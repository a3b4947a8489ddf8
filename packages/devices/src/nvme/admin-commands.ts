import { type BlockProperties, type Dma, Stateful } from '@retrap/device'
import { DO_NOT_RETRY, type NvmeCommand, STATUS } from './command.ts'
import { type DataPiece, findData, scatter } from './data-pointer.ts'
import type { FeatureResult, NvmeFeatures } from './features.ts'
import {
  EVENT_REQUESTS,
  IDENTIFY_BYTES,
  identifyController,
  identifyNamespace,
  NAMESPACE,
  namespaceDescriptors,
  type NvmeNames,
} from './identify.ts'
import { MOST_BYTES } from './io-commands.ts'
import type { QueueSet } from './queue-set.ts'

const ERROR_INFORMATION = 1
const HEALTH = 2
const FIRMWARE_SLOTS = 3
const CHANGED_NAMESPACES = 4

const KELVIN = 307
/** Reads and writes are counted in thousands of 512 bytes. */
const DATA_UNIT = 512_000

/** The amounts that have been moved since power-on, in the order of their list in saved states. */
export const NO_COUNTERS = { readBytes: 0, writtenBytes: 0, reads: 0, writes: 0 }

type NvmeCounters = typeof NO_COUNTERS

/**
 * A log page.
 *
 * Source: NVM Express 1.4, §5.14.1, "Log Specific Information".
 *
 * @param changed - the namespace has changed since the guest last looked
 * @returns null for an unknown log page
 */
function logPage(id: number, counters: NvmeCounters, changed: boolean): Uint8Array | null {
  switch (id) {
    case ERROR_INFORMATION:
      return new Uint8Array(64)
    case HEALTH:
      return health(counters)
    case FIRMWARE_SLOTS: {
      const page = new Uint8Array(512)
      page[0] = 1
      page.set(new TextEncoder().encode('1.0     '), 8)
      return page
    }
    case CHANGED_NAMESPACES: {
      const page = new Uint8Array(4096)
      if (changed) page[0] = NAMESPACE
      return page
    }
    default:
      return null
  }
}

/** Whether reading the page tells of a changed namespace. */
const isChangeList = (id: number): boolean => id === CHANGED_NAMESPACES

/** The SMART / Health Information page. Source: NVM Express 1.4, figure 194. */
function health({ readBytes, writtenBytes, reads, writes }: NvmeCounters): Uint8Array {
  const page = new Uint8Array(512)
  const view = new DataView(page.buffer)
  view.setUint16(1, KELVIN, true)
  page[3] = 100 // per cent of the spare
  page[4] = 10 // threshold of the spare blocks
  const long = (at: number, value: number): void => {
    view.setUint32(at, value % 2 ** 32, true)
    view.setUint32(at + 4, value / 2 ** 32, true)
  }
  long(32, Math.ceil(readBytes / DATA_UNIT))
  long(48, Math.ceil(writtenBytes / DATA_UNIT))
  long(64, reads)
  long(80, writes)
  return page
}

const DELETE_SUBMISSIONS = 0x00
const CREATE_SUBMISSIONS = 0x01
const GET_LOG_PAGE = 0x02
const DELETE_COMPLETIONS = 0x04
const CREATE_COMPLETIONS = 0x05
const IDENTIFY = 0x06
const ABORT = 0x08
const SET_FEATURES = 0x09
const GET_FEATURES = 0x0a
const ASYNCHRONOUS_EVENT_REQUEST = 0x0c

const HIGHEST_LISTED_NAMESPACE = 0xffff_fffd
const RETAIN_EVENT = 0x8000
const NOT_ABORTED = 1
/** A notice: the namespace's attributes have changed, see the list of changed namespaces. */
const NAMESPACE_CHANGED_EVENT = 0x0004_0002

/** The parts of a controller that admin commands work on. */
export interface NvmeAdminParts {
  readonly dma: Dma
  readonly queues: QueueSet
  readonly features: NvmeFeatures
  readonly counters: NvmeCounters
  readonly names: NvmeNames
  /** The medium's present properties. */
  properties(): BlockProperties
}

/** The command completes later, with a separate completion. */
export const LATER = null

/** Admin commands. Source: NVM Express 1.4, §5, "Admin Command Set". */
export class NvmeAdmin extends Stateful {
  readonly #parts: NvmeAdminParts
  /** Requests that wait for an event; whether the namespace has changed; whether the host got the event. */
  readonly #r = this.keeps({ events: [] as number[], changed: false, reported: false })

  constructor(parts: NvmeAdminParts) {
    super()
    this.#parts = parts
  }

  /** Executes a command. @returns {@link LATER} if the command stays open */
  execute(command: NvmeCommand): FeatureResult | typeof LATER {
    const { queues, features } = this.#parts
    if (command.isUnsupported) return ends(STATUS.INVALID_FIELD | DO_NOT_RETRY)
    switch (command.opcode) {
      case DELETE_SUBMISSIONS: {
        const status = queues.closeSubmissions(command)
        return status === STATUS.SUCCESS ? LATER : ends(status)
      }
      case CREATE_SUBMISSIONS:
        return ends(queues.createSubmissions(command))
      case GET_LOG_PAGE:
        return ends(this.#log(command))
      case DELETE_COMPLETIONS:
        return ends(queues.deleteCompletions(command))
      case CREATE_COMPLETIONS:
        return ends(queues.createCompletions(command))
      case IDENTIFY:
        return ends(this.#identify(command))
      case ABORT:
        // The command only promises an attempt: requests at the medium are completed.
        return { status: STATUS.SUCCESS, result: NOT_ABORTED }
      case SET_FEATURES:
        return features.set(command.word(10), command.word(11), queues.hasIo)
      case GET_FEATURES:
        return features.get(command.word(10), command.word(11))
      case ASYNCHRONOUS_EVENT_REQUEST:
        if (this.#r.events.length === EVENT_REQUESTS) return ends(STATUS.TOO_MANY_EVENT_REQUESTS | DO_NOT_RETRY)
        this.#r.events.push(command.id)
        return LATER
      default:
        return ends(STATUS.INVALID_OPCODE | DO_NOT_RETRY)
    }
  }

  #log(command: NvmeCommand): number {
    const id = command.word(10) & 0xff
    const page = logPage(id, this.#parts.counters, this.#r.changed)
    if (page === null) return STATUS.INVALID_LOG_PAGE | DO_NOT_RETRY
    const bytes = ((command.word(10) >>> 16) + (command.word(11) & 0xffff) * 0x1_0000 + 1) * 4
    const offset = command.long(12)
    if (bytes > MOST_BYTES || offset > page.length || offset % 4 !== 0) return STATUS.INVALID_FIELD | DO_NOT_RETRY
    const data = new Uint8Array(bytes)
    data.set(page.subarray(offset, offset + bytes))
    const status = this.#give(command, data)
    if (status === STATUS.SUCCESS && isChangeList(id)) {
      this.#r.changed = false
      if ((command.word(10) & RETAIN_EVENT) === 0) this.#r.reported = false
    }
    return status
  }

  #identify(command: NvmeCommand): number {
    const { names } = this.#parts
    const properties = this.#parts.properties()
    const { namespace } = command
    const isThere = namespace === NAMESPACE && properties.bytes > 0
    switch (command.word(10) & 0xff) {
      case 0x00:
        if (namespace !== NAMESPACE) return STATUS.INVALID_NAMESPACE | DO_NOT_RETRY
        return this.#give(command, isThere ? identifyNamespace(properties, names) : new Uint8Array(IDENTIFY_BYTES))
      case 0x01:
        return this.#give(command, identifyController(names))
      case 0x02: {
        if (namespace > HIGHEST_LISTED_NAMESPACE) return STATUS.INVALID_NAMESPACE | DO_NOT_RETRY
        const list = new Uint8Array(IDENTIFY_BYTES)
        if (namespace < NAMESPACE && properties.bytes > 0) list[0] = NAMESPACE
        return this.#give(command, list)
      }
      case 0x03:
        if (!isThere) return STATUS.INVALID_NAMESPACE | DO_NOT_RETRY
        return this.#give(command, namespaceDescriptors(names))
      default:
        return STATUS.INVALID_FIELD | DO_NOT_RETRY
    }
  }

  /** Copies data to a command's data pointer. @returns a status */
  #give(command: NvmeCommand, data: Uint8Array): number {
    const { dma } = this.#parts
    const pieces: DataPiece[] = []
    const status = findData(dma, command.prp1, command.prp2, data.length, pieces)
    if (status !== STATUS.SUCCESS) return status | DO_NOT_RETRY
    return scatter(dma, pieces, data) ? STATUS.SUCCESS : STATUS.DATA_TRANSFER_ERROR
  }

  /** The medium was exchanged or resized. */
  mediumChanged(): void {
    this.#r.changed = true
  }

  /** Takes an open request for an event to be reported. @returns null: no event, or no request */
  takeEvent(): { readonly id: number; readonly result: number } | null {
    if (!this.#r.changed || this.#r.reported || !this.#parts.features.reportsNamespaces) return null
    const id = this.#r.events.shift()
    if (id === undefined) return null
    this.#r.reported = true
    return { id, result: NAMESPACE_CHANGED_EVENT }
  }
}

const ends = (status: number): FeatureResult => ({ status, result: 0 })
