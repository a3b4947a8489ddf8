import { type ScsiOutcome, type ScsiUnit, dataOf, failed } from './scsi-unit.ts'
import { type ScsiSense, senseData, SENSE } from './sense.ts'

const REQUEST_SENSE = 0x03

/** Saved form of {@link HeldSense}. */
export interface HeldSenseState {
  /** Why the last command failed. */
  readonly sense: ScsiSense | null
}

/**
 * Keeps the reason why a command failed until REQUEST SENSE asks for it.
 *
 * Transports use it whose status carries no sense data: ATAPI, and bulk-only transport of USB.
 */
export class HeldSense {
  readonly #unit: Pick<ScsiUnit, 'execute'>
  #sense: ScsiSense | null = null

  constructor(unit: Pick<ScsiUnit, 'execute'>) {
    this.#unit = unit
  }

  /** Has the unit execute a command, and answers REQUEST SENSE after one that failed. */
  execute(command: Uint8Array, parameters?: Uint8Array): ScsiOutcome {
    const sense = this.#sense
    this.#sense = null
    if (sense !== null && command[0] === REQUEST_SENSE)
      return { kind: 'data', bytes: senseData(sense), most: command[4] ?? 0 }
    const outcome = this.#unit.execute(command, parameters)
    if (outcome.kind === 'failed') this.#sense = outcome.sense
    return outcome
  }

  /** The command has failed after it had begun. */
  fail(sense: ScsiSense): void {
    this.#sense = sense
  }

  /** Forgets the reason: the unit is reset. */
  reset(): void {
    this.#sense = null
  }

  /** Returns the state as plain data. */
  save(): HeldSenseState {
    return { sense: this.#sense }
  }

  /** Restores the state that `save` returned. */
  restore({ sense }: HeldSenseState): void {
    this.#sense = sense
  }
}

/** Events of a unit that the host has not been told of (SPC-4, "Unit attention condition"). */
export class UnitAttention {
  readonly #passing: ReadonlySet<number>
  /** The reason; null: the host knows all. */
  sense: ScsiSense | null

  /** @param passing - commands that execute despite held sense, and keep it; one of them reports it */
  constructor(passing: ReadonlySet<number>) {
    this.#passing = passing
    this.sense = SENSE.powerOn
  }

  /** Fails a command outside the passing ones, which reports the sense to the host; null: the command may be executed. */
  refuse(opcode: number): ScsiOutcome | null {
    const { sense } = this
    if (sense === null || this.#passing.has(opcode)) return null
    this.sense = null
    return failed(sense)
  }

  /** Answers REQUEST SENSE, which tells the host. */
  report(command: Uint8Array): ScsiOutcome {
    const { sense } = this
    this.sense = null
    return dataOf(senseData(sense ?? SENSE.none), command[4]!)
  }
}
