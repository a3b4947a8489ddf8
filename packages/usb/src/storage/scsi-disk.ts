import type { BlockBackend, BlockErrorCode } from '@retrap/device'

/** Sense key, and additional code with its qualifier. Source: SPC-4, tables 48 and D.2. */
export const SENSE = {
  NONE: 0x00_0000,
  NOT_READY: 0x02_3a00,
  READ_FAILED: 0x03_1100,
  WRITE_FAILED: 0x03_0c00,
  INVALID_COMMAND: 0x05_2000,
  OUT_OF_RANGE: 0x05_2100,
  INVALID_FIELD: 0x05_2400,
  POWER_ON: 0x06_2900,
  MEDIUM_CHANGED: 0x06_2800,
  WRITE_PROTECTED: 0x07_2700,
  NO_SPACE: 0x07_2707,
} as const

/** What a command comes to. */
export type ScsiTask =
  | { readonly kind: 'good' | 'flush' }
  | { readonly kind: 'check'; readonly sense: number }
  | { readonly kind: 'data'; readonly data: Uint8Array }
  | { readonly kind: 'read' | 'write'; readonly offset: number; readonly bytes: number; readonly durable: boolean }

/** Names that INQUIRY tells. */
export interface ScsiNames {
  /** At most 16 characters. */
  readonly product: string
  /** At most 20 characters. */
  readonly serialNumber: string
}

/** Saved form of a {@link ScsiDisk}. */
export interface ScsiDiskState {
  readonly sense: number
  readonly attention: number
}

const OPERATION = {
  TEST_UNIT_READY: 0x00,
  REQUEST_SENSE: 0x03,
  READ_6: 0x08,
  WRITE_6: 0x0a,
  INQUIRY: 0x12,
  MODE_SENSE_6: 0x1a,
  START_STOP_UNIT: 0x1b,
  PREVENT_REMOVAL: 0x1e,
  READ_FORMAT_CAPACITIES: 0x23,
  READ_CAPACITY_10: 0x25,
  READ_10: 0x28,
  WRITE_10: 0x2a,
  VERIFY_10: 0x2f,
  SYNCHRONIZE_CACHE_10: 0x35,
  MODE_SENSE_10: 0x5a,
  READ_16: 0x88,
  WRITE_16: 0x8a,
  SYNCHRONIZE_CACHE_16: 0x91,
  SERVICE_ACTION_IN: 0x9e,
  REPORT_LUNS: 0xa0,
  READ_12: 0xa8,
  WRITE_12: 0xaa,
} as const

/** Commands that are carried out whether or not there is a unit attention. */
const ALWAYS: readonly number[] = [OPERATION.INQUIRY, OPERATION.REPORT_LUNS, OPERATION.REQUEST_SENSE]
const READ_CAPACITY_16 = 0x10
const FORCE_UNIT_ACCESS = 0x08
const CACHING_PAGE = 0x08
const ALL_PAGES = 0x3f
const PAGE_SUPPORTED = 0x00
const PAGE_SERIAL = 0x80
const PAGE_IDENTIFICATION = 0x83

const check = (sense: number): ScsiTask => ({ kind: 'check', sense })
const data = (...bytes: readonly number[]): ScsiTask => ({ kind: 'data', data: Uint8Array.from(bytes) })
const GOOD: ScsiTask = { kind: 'good' }

/** A direct-access device of one logical unit. Source: T10, SPC-4 and SBC-3. */
export class ScsiDisk {
  readonly #medium: BlockBackend
  readonly #names: ScsiNames
  /** What REQUEST SENSE tells. */
  #sense: number = SENSE.NONE
  /** What the next command is told instead of being carried out. */
  #attention: number = SENSE.POWER_ON

  constructor(medium: BlockBackend, names: ScsiNames) {
    this.#medium = medium
    this.#names = names
  }

  get #block(): number {
    return this.#medium.properties.blockBytes
  }

  get #blocks(): number {
    return this.#medium.properties.bytes / this.#block
  }

  mediumChanged(): void {
    this.#attention = SENSE.MEDIUM_CHANGED
  }

  reset(): void {
    this.#sense = SENSE.NONE
    this.#attention = SENSE.POWER_ON
  }

  /** A command has failed: REQUEST SENSE says why. */
  fail(sense: number): void {
    this.#sense = sense
  }

  /** The medium has not done what was asked. */
  failMedium(code: BlockErrorCode, wasWrite: boolean): void {
    if (code === 'ERR_NO_SPACE') this.#sense = SENSE.NO_SPACE
    else if (code === 'ERR_READ_ONLY') this.#sense = SENSE.WRITE_PROTECTED
    else if (code === 'ERR_NO_MEDIUM') this.#sense = SENSE.NOT_READY
    else this.#sense = wasWrite ? SENSE.WRITE_FAILED : SENSE.READ_FAILED
  }

  /** Reads a command. @returns what is to be done; the sense of a `check` is noted */
  interpret(command: Uint8Array): ScsiTask {
    const operation = command[0] ?? 0
    let task: ScsiTask
    if (this.#attention !== SENSE.NONE && !ALWAYS.includes(operation)) {
      task = check(this.#attention)
      this.#attention = SENSE.NONE
    } else task = this.#task(operation, command)
    if (operation !== OPERATION.REQUEST_SENSE) this.#sense = task.kind === 'check' ? task.sense : SENSE.NONE
    return task
  }

  #task(operation: number, command: Uint8Array): ScsiTask {
    switch (operation) {
      case OPERATION.INQUIRY:
        return this.#inquiry(command)
      case OPERATION.REQUEST_SENSE:
        return this.#requestSense()
      case OPERATION.REPORT_LUNS:
        return data(0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
      case OPERATION.START_STOP_UNIT:
      case OPERATION.PREVENT_REMOVAL:
        return GOOD
      default:
        return this.#blocks === 0 ? check(SENSE.NOT_READY) : this.#ofMedium(operation, command)
    }
  }

  #ofMedium(operation: number, command: Uint8Array): ScsiTask {
    const view = new DataView(command.buffer, command.byteOffset, command.byteLength)
    const durable = (command[1]! & FORCE_UNIT_ACCESS) !== 0
    switch (operation) {
      case OPERATION.TEST_UNIT_READY:
      case OPERATION.VERIFY_10:
        return GOOD
      case OPERATION.SYNCHRONIZE_CACHE_10:
      case OPERATION.SYNCHRONIZE_CACHE_16:
        return { kind: 'flush' }
      case OPERATION.READ_CAPACITY_10:
        return this.#capacity10()
      case OPERATION.READ_FORMAT_CAPACITIES:
        // One formatted medium
        return data(0, 0, 0, 8, ...big(Math.min(this.#blocks, 0xffff_ffff), 4), 2, ...big(this.#block, 3))
      case OPERATION.SERVICE_ACTION_IN:
        if ((command[1]! & 0x1f) !== READ_CAPACITY_16) return check(SENSE.INVALID_FIELD)
        return data(...big(this.#blocks - 1, 8), ...big(this.#block, 4), ...Array.from({ length: 20 }, () => 0))
      case OPERATION.MODE_SENSE_6:
      case OPERATION.MODE_SENSE_10:
        return this.#modeSense(command[2]! & 0x3f, operation === OPERATION.MODE_SENSE_10)
      case OPERATION.READ_6:
      case OPERATION.WRITE_6: {
        const first = view.getUint32(0) & 0x1f_ffff
        return this.#move(operation === OPERATION.WRITE_6, first, command[4]! || 256, false)
      }
      case OPERATION.READ_10:
      case OPERATION.WRITE_10:
        return this.#move(operation === OPERATION.WRITE_10, view.getUint32(2), view.getUint16(7), durable)
      case OPERATION.READ_12:
      case OPERATION.WRITE_12:
        return this.#move(operation === OPERATION.WRITE_12, view.getUint32(2), view.getUint32(6), durable)
      case OPERATION.READ_16:
      case OPERATION.WRITE_16: {
        const first = view.getUint32(2) * 2 ** 32 + view.getUint32(6)
        return this.#move(operation === OPERATION.WRITE_16, first, view.getUint32(10), durable)
      }
      default:
        return check(SENSE.INVALID_COMMAND)
    }
  }

  #move(isWrite: boolean, first: number, blocks: number, durable: boolean): ScsiTask {
    if (first + blocks > this.#blocks) return check(SENSE.OUT_OF_RANGE)
    if (isWrite && this.#medium.properties.readOnly) return check(SENSE.WRITE_PROTECTED)
    if (blocks === 0) return GOOD
    const kind = isWrite ? 'write' : 'read'
    return { kind, offset: first * this.#block, bytes: blocks * this.#block, durable }
  }

  #capacity10(): ScsiTask {
    return data(...big(Math.min(this.#blocks - 1, 0xffff_ffff), 4), ...big(this.#block, 4))
  }

  #requestSense(): ScsiTask {
    const sense = this.#attention === SENSE.NONE ? this.#sense : this.#attention
    this.#attention = SENSE.NONE
    this.#sense = SENSE.NONE
    const [key, code, qualifier] = [sense >>> 16, (sense >>> 8) & 0xff, sense & 0xff]
    return data(0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, code, qualifier, 0, 0, 0, 0)
  }

  #inquiry(command: Uint8Array): ScsiTask {
    const { product, serialNumber } = this.#names
    if ((command[1]! & 1) === 0) {
      if (command[2] !== 0) return check(SENSE.INVALID_FIELD)
      // Direct access, SPC-4, sense data of the fixed format
      const names = `${'retrap'.padEnd(8)}${product.slice(0, 16).padEnd(16)}1.0 `
      return data(0, 0, 6, 2, 31, 0, 0, 0, ...ascii(names))
    }
    const serial = ascii(serialNumber)
    switch (command[2]) {
      case PAGE_SUPPORTED:
        return data(0, PAGE_SUPPORTED, 0, 3, PAGE_SUPPORTED, PAGE_SERIAL, PAGE_IDENTIFICATION)
      case PAGE_SERIAL:
        return data(0, PAGE_SERIAL, 0, serial.length, ...serial)
      case PAGE_IDENTIFICATION: {
        // A name by vendor, in ASCII
        const name = [...ascii('retrap'.padEnd(8)), ...serial]
        return data(0, PAGE_IDENTIFICATION, 0, 4 + name.length, 2, 1, 0, name.length, ...name)
      }
      default:
        return check(SENSE.INVALID_FIELD)
    }
  }

  #modeSense(page: number, isLong: boolean): ScsiTask {
    if (page !== CACHING_PAGE && page !== ALL_PAGES) return check(SENSE.INVALID_FIELD)
    // The caching page: writes are cached until they are flushed.
    const caching = [CACHING_PAGE, 18, 0x04, ...Array.from({ length: 17 }, () => 0)]
    // Write protected, and whether forced unit access is heeded
    const parameter = (this.#medium.properties.readOnly ? 0x80 : 0) | 0x10
    if (isLong) return data(0, 6 + caching.length, 0, parameter, 0, 0, 0, 0, ...caching)
    return data(3 + caching.length, 0, parameter, 0, ...caching)
  }

  save(): ScsiDiskState {
    return { sense: this.#sense, attention: this.#attention }
  }

  restore({ sense, attention }: ScsiDiskState): void {
    this.#sense = sense
    this.#attention = attention
  }
}

function big(value: number, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, i) => Math.floor(value / 2 ** (8 * (bytes - 1 - i))) % 256)
}

function ascii(text: string): number[] {
  return Array.from(text, (character) => character.charCodeAt(0) & 0x7f)
}
