import { listed } from '@retrap/device'
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

/** The registers, in the order of their list in saved states. */
const POWER_ON = {
  /** Interrupt vectors of the pin that are masked. */
  masked: 0,
  configuration: 0,
  /** CSTS. */
  status: 0,
  adminSizes: 0,
  submissionsLow: 0,
  submissionsHigh: 0,
  completionsLow: 0,
  completionsHigh: 0,
}

/** Registers that read as they are. */
const STORED: Readonly<Record<number, keyof typeof POWER_ON>> = {
  [REGISTER.INTMS]: 'masked',
  [REGISTER.INTMC]: 'masked',
  [REGISTER.CC]: 'configuration',
  [REGISTER.CSTS]: 'status',
  [REGISTER.AQA]: 'adminSizes',
  [REGISTER.ASQ]: 'submissionsLow',
  [REGISTER.ASQ_HIGH]: 'submissionsHigh',
  [REGISTER.ACQ]: 'completionsLow',
  [REGISTER.ACQ_HIGH]: 'completionsHigh',
}

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
  readonly r: typeof POWER_ON = { ...POWER_ON }
  /** The registers as a part of the controller's state. */
  readonly state: ReturnType<typeof listed> = listed(this.r)
  readonly #masksChanged: () => void
  readonly #configure: (before: number, now: number) => void

  /** @param masksChanged - after a write of INTMS or INTMC; @param configure - after one of CC */
  constructor(masksChanged: () => void, configure: (before: number, now: number) => void) {
    this.#masksChanged = masksChanged
    this.#configure = configure
  }

  /** Whether CC.EN is set. */
  get isEnabled(): boolean {
    return (this.r.configuration & ENABLE) !== 0
  }

  get submissions(): AdminQueueShape {
    const { submissionsLow, submissionsHigh, adminSizes } = this.r
    return { base: submissionsLow + submissionsHigh * 2 ** 32, size: (adminSizes & 0xfff) + 1 }
  }

  get completions(): AdminQueueShape {
    const { completionsLow, completionsHigh, adminSizes } = this.r
    return { base: completionsLow + completionsHigh * 2 ** 32, size: (adminSizes >>> 16) + 1 }
  }

  /** Reads a word. */
  read(offset: number): number {
    if (offset === REGISTER.CAP) return CAP_LOW
    if (offset === REGISTER.CAP_HIGH) return CAP_HIGH
    if (offset === REGISTER.VS) return VERSION
    const name = STORED[offset]
    return name === undefined ? 0 : this.r[name]
  }

  /** Writes a word. */
  write(offset: number, value: number): void {
    switch (offset) {
      case REGISTER.INTMS:
        this.r.masked = (this.r.masked | value) >>> 0
        this.#masksChanged()
        break
      case REGISTER.INTMC:
        this.r.masked = (this.r.masked & ~value) >>> 0
        this.#masksChanged()
        break
      case REGISTER.CC: {
        const before = this.r.configuration
        this.r.configuration = value & CC_BITS
        this.#configure(before, this.r.configuration)
        break
      }
      case REGISTER.AQA:
        this.r.adminSizes = value & AQA_BITS
        break
      case REGISTER.ASQ:
      case REGISTER.ACQ:
        this.r[STORED[offset]!] = value - (value % PAGE_BYTES)
        break
      case REGISTER.ASQ_HIGH:
      case REGISTER.ACQ_HIGH:
        this.r[STORED[offset]!] = value
        break
      default:
    }
  }

  /** The selections in CC of features with a single choice. */
  get selections(): number {
    return this.r.configuration & SELECTIONS
  }
}
