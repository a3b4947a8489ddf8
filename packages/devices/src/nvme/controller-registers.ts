import { PAGE_BYTES } from './data-pointer.ts'
import { VERSION } from './identify.ts'
import { MOST_ENTRIES } from './queue-set.ts'

/** Registers of a controller. Source: NVM Express 1.4, figure 68, "Register Definition". */
const REGISTER = {
  CAP: 0x00,
  CAP_HIGH: 0x04,
  VS: 0x08,
  INTMS: 0x0c,
  INTMC: 0x10,
  CC: 0x14,
  CSTS: 0x1c,
  AQA: 0x24,
  ASQ: 0x28,
  ASQ_HIGH: 0x2c,
  ACQ: 0x30,
  ACQ_HIGH: 0x34,
} as const

/** Offset of the doorbells. */
export const DOORBELLS = 0x1000

/** CC: fields. */
export const ENABLE = 0x01
/** Command set, page size and arbitration: one choice of each. */
const SELECTIONS = 0x3ff0
export const SHUTDOWN_NOTICE = 0xc000
/** CC: the bits that can be written. */
const CC_BITS = 0x00ff_fff1

/** CSTS. */
export const READY = 0x01
export const FATAL = 0x02
export const SHUTDOWN_STATUS = 0x0c
export const SHUTTING_DOWN = 0x04
export const SHUT_DOWN = 0x08

/** AQA: the bits that can be written. */
const AQA_BITS = 0x0fff_0fff

const CONTIGUOUS_QUEUES = 0x1_0000
/** The guest's time limit for CSTS.RDY, in units of 500 ms; high, for slow hosts. */
const TIMEOUT = 240 << 24
const NVM_COMMAND_SET = 0x20

/** CAP, low half. */
const CAP_LOW = ((MOST_ENTRIES - 1) | CONTIGUOUS_QUEUES | TIMEOUT) >>> 0
/** CAP, high half: adjacent doorbells, pages of 4 KiB. */
const CAP_HIGH = NVM_COMMAND_SET

/** Address and size of an admin queue. */
export interface AdminQueueShape {
  readonly base: number
  readonly size: number
}

/** A controller's registers but for the doorbells. */
export class ControllerRegisters {
  /** Interrupt vectors of the pin that are masked. */
  masked = 0
  /** CSTS. */
  status = 0
  #configuration = 0
  #adminSizes = 0
  /** Halves of ASQ and ACQ. */
  readonly #adminBases = new Uint32Array(4)
  readonly #masksChanged: () => void
  readonly #configure: (before: number, now: number) => void

  /** @param masksChanged - after a write of INTMS or INTMC; @param configure - after one of CC */
  constructor(masksChanged: () => void, configure: (before: number, now: number) => void) {
    this.#masksChanged = masksChanged
    this.#configure = configure
  }

  /** Whether CC.EN is set. */
  get isEnabled(): boolean {
    return (this.#configuration & ENABLE) !== 0
  }

  get submissions(): AdminQueueShape {
    return { base: this.#base(0), size: (this.#adminSizes & 0xfff) + 1 }
  }

  get completions(): AdminQueueShape {
    return { base: this.#base(2), size: (this.#adminSizes >>> 16) + 1 }
  }

  #base(half: number): number {
    return this.#adminBases[half]! + this.#adminBases[half + 1]! * 2 ** 32
  }

  /** Reads a word. */
  read(offset: number): number {
    switch (offset) {
      case REGISTER.CAP:
        return CAP_LOW
      case REGISTER.CAP_HIGH:
        return CAP_HIGH
      case REGISTER.VS:
        return VERSION
      case REGISTER.INTMS:
      case REGISTER.INTMC:
        return this.masked
      case REGISTER.CC:
        return this.#configuration
      case REGISTER.CSTS:
        return this.status
      case REGISTER.AQA:
        return this.#adminSizes
      default:
        return this.#adminBases[(offset - REGISTER.ASQ) / 4] ?? 0
    }
  }

  /** Writes a word. */
  write(offset: number, value: number): void {
    switch (offset) {
      case REGISTER.INTMS:
        this.masked = (this.masked | value) >>> 0
        this.#masksChanged()
        break
      case REGISTER.INTMC:
        this.masked = (this.masked & ~value) >>> 0
        this.#masksChanged()
        break
      case REGISTER.CC: {
        const before = this.#configuration
        this.#configuration = value & CC_BITS
        this.#configure(before, this.#configuration)
        break
      }
      case REGISTER.AQA:
        this.#adminSizes = value & AQA_BITS
        break
      case REGISTER.ASQ:
      case REGISTER.ACQ:
        this.#adminBases[(offset - REGISTER.ASQ) / 4] = value - (value % PAGE_BYTES)
        break
      case REGISTER.ASQ_HIGH:
      case REGISTER.ACQ_HIGH:
        this.#adminBases[(offset - REGISTER.ASQ) / 4] = value
        break
      default:
    }
  }

  /** The selections in CC of features with a single choice. */
  get selections(): number {
    return this.#configuration & SELECTIONS
  }

  save(): readonly number[] {
    return [this.masked, this.#configuration, this.status, this.#adminSizes, ...this.#adminBases]
  }

  /** Restores the state that `save` returned; an empty list is the power-on state. */
  restore([masked = 0, configuration = 0, status = 0, sizes = 0, ...bases]: readonly number[]): void {
    this.masked = masked
    this.#configuration = configuration
    this.status = status
    this.#adminSizes = sizes
    for (let i = 0; i < 4; i++) this.#adminBases[i] = bases[i] ?? 0
  }
}
