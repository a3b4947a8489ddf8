import { DO_NOT_RETRY, STATUS } from './command.ts'
import { NAMESPACE_NOTICE, WARNING_KELVIN } from './identify.ts'

/** Single-valued features by identifier: default value, and the writable bits. */
const SINGLE: Readonly<Record<number, readonly [value: number, mask: number]>> = {
  0x01: [6, 0xffff_ff07], // arbitration
  0x02: [0, 0], // power management: a single power state
  0x05: [0, 0xffff], // error recovery: the time limit
  0x06: [1, 1], // volatile write cache
  0x08: [0, 0xffff], // interrupt coalescing, which has no effect
  0x0a: [0, 1], // write atomicity
  0x0b: [0, NAMESPACE_NOTICE], // asynchronous events to report
}
const TEMPERATURE_THRESHOLD = 0x04
const WRITE_CACHE = 0x06
const NUMBER_OF_QUEUES = 0x07
const VECTOR_CONFIGURATION = 0x09
const EVENT_CONFIGURATION = 0x0b

const SAVE = 0x8000_0000
const UNDER = 1
const ALL_SENSORS = 15
const SUPPORTED_CAPABILITIES = 3
const CHANGEABLE = 0x04
const CURRENT = 0

/** The result of Get Features and Set Features. */
export interface FeatureResult {
  readonly status: number
  /** Word 0 of the completion. */
  readonly result: number
}

const refused = (status: number): FeatureResult => ({ status: status | DO_NOT_RETRY, result: 0 })
const given = (result: number): FeatureResult => ({ status: STATUS.SUCCESS, result })

/** The controller's features. Source: NVM Express 1.4, §5.21.1, "Feature Specific Information". */
export class NvmeFeatures {
  readonly #queues: number
  readonly #vectors: number
  /** Values that differ from the default; key: identifier, and for some features a selector above it. */
  readonly values: Map<number, number> = new Map()

  /** @param queues - pairs of I/O queues; @param vectors - interrupts */
  constructor(queues: number, vectors: number) {
    this.#queues = queues
    this.#vectors = vectors
  }

  /** Whether writes may stay in a cache until Flush. */
  get hasWriteCache(): boolean {
    return this.#value(WRITE_CACHE, 1) !== 0
  }

  /** Whether the guest has enabled events for changes of the namespace. */
  get reportsNamespaces(): boolean {
    return (this.#value(EVENT_CONFIGURATION, 0) & NAMESPACE_NOTICE) !== 0
  }

  #value(key: number, otherwise: number): number {
    return this.values.get(key) ?? otherwise
  }

  /** Executes Get Features. @param word10 - identifier and selected value; @param word11 - selector within a feature */
  get(word10: number, word11: number): FeatureResult {
    const id = word10 & 0xff
    const place = this.#place(id, word11)
    if (place === null) return refused(STATUS.INVALID_FIELD)
    const select = (word10 >>> 8) & 7
    if (select > SUPPORTED_CAPABILITIES) return refused(STATUS.INVALID_FIELD)
    if (select === SUPPORTED_CAPABILITIES) return given(CHANGEABLE)
    return given(select === CURRENT ? this.#value(place.key, place.initial) : place.initial)
  }

  /** Set Features. @param hasQueues - I/O queues have been made: their number is settled */
  set(word10: number, word11: number, hasQueues: boolean): FeatureResult {
    const id = word10 & 0xff
    if ((word10 & SAVE) !== 0) return refused(STATUS.FEATURE_NOT_SAVEABLE)
    if (id === NUMBER_OF_QUEUES) {
      // 65,536 of either kind cannot be asked for.
      if ((word11 & 0xffff) === 0xffff || word11 >>> 16 === 0xffff) return refused(STATUS.INVALID_FIELD)
      return hasQueues ? refused(STATUS.FEATURE_NOT_CHANGEABLE) : given(this.#queueCount)
    }
    const place = this.#place(id, word11)
    if (place === null) return refused(STATUS.INVALID_FIELD)
    if (id === 0x02 && word11 !== 0) return refused(STATUS.INVALID_FIELD)
    this.values.set(place.key, (word11 & place.mask) >>> 0)
    return given(0)
  }

  get #queueCount(): number {
    return (this.#queues - 1) * 0x1_0001
  }

  /** Returns where a feature's value is stored. @returns null for an unknown feature */
  #place(id: number, word11: number): { readonly key: number; readonly initial: number; readonly mask: number } | null {
    if (id === NUMBER_OF_QUEUES) return { key: id, initial: this.#queueCount, mask: 0 }
    if (id === TEMPERATURE_THRESHOLD) {
      const sensor = (word11 >>> 16) & 15
      const kind = (word11 >>> 20) & 3
      if (kind > UNDER || (sensor !== 0 && sensor !== ALL_SENSORS)) return null
      return { key: id | (kind << 8), initial: kind === UNDER ? 0 : WARNING_KELVIN, mask: 0xffff }
    }
    if (id === VECTOR_CONFIGURATION) {
      const vector = word11 & 0xffff
      return vector < this.#vectors ? { key: id | (vector << 8), initial: vector, mask: 0x1_ffff } : null
    }
    const row = SINGLE[id]
    return row === undefined ? null : { key: id, initial: row[0], mask: row[1] }
  }
}
