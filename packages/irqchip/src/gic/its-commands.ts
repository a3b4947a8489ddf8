import { DONE, ENTRY_BYTES, ERROR, type ItsTables, type Outcome } from './its-tables.ts'
import { isLpi, type LpiControl } from './lpis.ts'

/* Commands: Arm IHI 0069, 5.3 "The ITS command interface". */
const MOVI = 0x01
const INT = 0x03
const CLEAR = 0x04
const SYNC = 0x05
const MAPD = 0x08
const MAPC = 0x09
const MAPTI = 0x0a
const MAPI = 0x0b
const INV = 0x0c
const INVALL = 0x0d
const MOVALL = 0x0e
const DISCARD = 0x0f

/** Commands after which all pending LPIs of a processor may have to be looked at. */
const LOOKS_AT_ALL: ReadonlySet<number> = new Set([MOVI, CLEAR, INV, INVALL, MOVALL, DISCARD])

const VALID = -0x8000_0000
const INTID = 0xff_ffff
/** EventIDs have 16 bits. */
const MOST_EVENT_BITS = 16

/** The registers that say where the tables are. */
export interface ItsBases {
  readonly devicesLo: number
  readonly devicesHi: number
  readonly collectionsLo: number
  readonly collectionsHi: number
}

/** The commands of an ITS. A command is eight words. */
export class ItsCommands {
  readonly #tables: ItsTables
  readonly #lpis: LpiControl
  readonly #bases: ItsBases
  readonly #cpus: number
  /* The last translation: the address of an interrupt's entry, its INTID and ICID, and the collection's vCPU. */
  #entry = 0
  #intid = 0
  #icid = 0
  #cpu = 0

  constructor(tables: ItsTables, lpis: LpiControl, bases: ItsBases, cpus: number) {
    this.#tables = tables
    this.#lpis = lpis
    this.#bases = bases
    this.#cpus = cpus
  }

  /** Returns the cost of a command, relative to a simple one. */
  costOf(command: Int32Array): number {
    return LOOKS_AT_ALL.has(command[0]! & 0xff) ? 8 : 1
  }

  /** Executes a command. @returns `ERROR` for an invalid command, which changes nothing */
  perform(command: Int32Array): Outcome {
    const device = command[1]! >>> 0
    const event = command[2]! >>> 0
    const icid = command[4]! & 0xffff
    switch (command[0]! & 0xff) {
      case MAPD:
        return this.#mapDevice(device, command)
      case MAPC:
        return this.#mapCollection(icid, command[4]! >>> 16, (command[5]! & VALID) !== 0)
      case MAPTI:
        return this.#mapInterrupt(device, event, command[3]! >>> 0, icid)
      case MAPI:
        return this.#mapInterrupt(device, event, event, icid)
      case MOVI:
        return this.#moveInterrupt(device, event, icid)
      case MOVALL: {
        const [from, to] = [command[4]! >>> 16, command[6]! >>> 16]
        if (from >= this.#cpus || to >= this.#cpus) return ERROR
        this.#lpis.moveAll(from, to)
        return DONE
      }
      case DISCARD: {
        const outcome = this.#find(device, event)
        if (outcome !== DONE) return outcome
        const entry = this.#entry
        const intid = this.#intid
        const found = this.#findCollection(this.#icid)
        if (found !== DONE) return found
        this.#lpis.set(this.#cpu, intid, false)
        return this.#tables.writeAt(entry, 0, 0)
      }
      case INV: {
        const outcome = this.#find(device, event)
        if (outcome !== DONE) return outcome
        const found = this.#findCollection(this.#icid)
        if (found === DONE) this.#lpis.invalidate(this.#cpu, this.#intid)
        return found
      }
      case INVALL: {
        const outcome = this.#findCollection(icid)
        if (outcome === DONE) this.#lpis.invalidateAll(this.#cpu)
        return outcome
      }
      case INT:
        return this.signal(device, event, true)
      case CLEAR:
        return this.signal(device, event, false)
      case SYNC:
        // Each command is complete before the next one begins.
        return DONE
      default:
        return ERROR
    }
  }

  /** Makes the LPI of a device's event pending, or takes that back. */
  signal(device: number, event: number, pending: boolean): Outcome {
    let outcome = this.#find(device, event)
    if (outcome !== DONE) return outcome
    outcome = this.#findCollection(this.#icid)
    if (outcome === DONE) this.#lpis.set(this.#cpu, this.#intid, pending)
    return outcome
  }

  #mapDevice(device: number, command: Int32Array): Outcome {
    const size = command[2]! & 31
    const { devicesLo, devicesHi } = this.#bases
    if ((command[5]! & VALID) === 0) return this.#tables.write(devicesLo, devicesHi, device, 0, 0)
    if (size >= MOST_EVENT_BITS) return ERROR
    const lo = (command[4]! & ~0xff) | (size << 1) | 1
    return this.#tables.write(devicesLo, devicesHi, device, lo, command[5]! & 0xf_ffff)
  }

  #mapCollection(icid: number, cpu: number, valid: boolean): Outcome {
    if (valid && cpu >= this.#cpus) return ERROR
    const { collectionsLo, collectionsHi } = this.#bases
    return this.#tables.write(collectionsLo, collectionsHi, icid, valid ? cpu | VALID : 0, 0)
  }

  #mapInterrupt(device: number, event: number, intid: number, icid: number): Outcome {
    if (!isLpi(intid)) return ERROR
    const { collectionsLo, collectionsHi } = this.#bases
    const outcome = this.#locate(device, event)
    if (outcome !== DONE) return outcome
    // The collection must be one that the table can have; it may be mapped later.
    const fits = this.#tables.read(collectionsLo, collectionsHi, icid)
    return fits === DONE ? this.#tables.writeAt(this.#entry, intid | VALID, icid) : fits
  }

  #moveInterrupt(device: number, event: number, icid: number): Outcome {
    let outcome = this.#find(device, event)
    if (outcome !== DONE) return outcome
    const [entry, intid] = [this.#entry, this.#intid]
    outcome = this.#findCollection(this.#icid)
    if (outcome !== DONE) return outcome
    const from = this.#cpu
    outcome = this.#findCollection(icid)
    if (outcome !== DONE) return outcome
    this.#lpis.move(from, this.#cpu, intid)
    return this.#tables.writeAt(entry, intid | VALID, icid)
  }

  /** Finds the address of the entry of a device's event. */
  #locate(device: number, event: number): Outcome {
    const tables = this.#tables
    const outcome = tables.read(this.#bases.devicesLo, this.#bases.devicesHi, device)
    if (outcome !== DONE) return outcome
    if ((tables.lo & 1) === 0 || event >= 2 ** (((tables.lo >> 1) & 31) + 1)) return ERROR
    this.#entry = (tables.hi & 0xf_ffff) * 2 ** 32 + ((tables.lo & ~0xff) >>> 0) + event * ENTRY_BYTES
    return DONE
  }

  /** Reads the entry of a device's event. */
  #find(device: number, event: number): Outcome {
    const tables = this.#tables
    let outcome = this.#locate(device, event)
    if (outcome !== DONE) return outcome
    outcome = tables.readAt(this.#entry)
    if (outcome !== DONE) return outcome
    this.#intid = tables.lo & INTID
    this.#icid = tables.hi & 0xffff
    return (tables.lo & VALID) !== 0 && isLpi(this.#intid) ? DONE : ERROR
  }

  /** Reads the entry of a collection. */
  #findCollection(icid: number): Outcome {
    const tables = this.#tables
    const outcome = tables.read(this.#bases.collectionsLo, this.#bases.collectionsHi, icid)
    if (outcome !== DONE) return outcome
    this.#cpu = tables.lo & 0xffff
    return (tables.lo & VALID) !== 0 && this.#cpu < this.#cpus ? DONE : ERROR
  }
}
