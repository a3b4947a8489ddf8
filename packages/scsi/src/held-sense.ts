import type { ScsiOutcome, ScsiUnit } from './scsi-unit.ts'
import { type ScsiSense, senseData } from './sense.ts'

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

  /** Returns its state as plain data. */
  save(): HeldSenseState {
    return { sense: this.#sense }
  }

  /** Takes over what `save` returned. */
  restore({ sense }: HeldSenseState): void {
    this.#sense = sense
  }
}
