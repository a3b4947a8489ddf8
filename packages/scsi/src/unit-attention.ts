import { dataOf, failed, type ScsiOutcome } from './scsi-unit.ts'
import { SENSE, type ScsiSense, senseData } from './sense.ts'

/** Events of a unit that the host has not been told of (SPC-4, "Unit attention condition"). */
export class UnitAttention {
  readonly #passing: ReadonlySet<number>
  /** The reason; null: the host knows all. */
  sense: ScsiSense | null

  /** @param passing - commands that are executed all the same, and leave it; one of them reports it */
  constructor(passing: ReadonlySet<number>) {
    this.#passing = passing
    this.sense = SENSE.powerOn
  }

  /** Fails a command that is not among the passing ones, which tells the host; null: the command may be executed. */
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
