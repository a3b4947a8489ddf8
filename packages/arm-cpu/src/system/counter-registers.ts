import { STATUS_DONE, STATUS_UNHANDLED } from '@retrap/engine'
import type { ArmHost, SystemValue } from '../state/host.ts'
import { S_CNTHCTL_EL2, S_CNTKCTL_EL1 } from '../state/places.ts'
import { encodingOf } from './register-table.ts'
import type { SystemState } from '../state/system-state.ts'

/** CNTKCTL_EL1: EL0 may read the physical and the virtual counter, and use the virtual and the physical timer. */
const EL0PCTEN = 1
const EL0VCTEN = 1 << 1
const EL0VTEN = 1 << 8
const EL0PTEN = 1 << 9
/** CNTHCTL_EL2: EL1 may read the physical counter, and use the physical timer. */
const EL1PCTEN = 1
const EL1PCEN = 1 << 1

const CNTFRQ: number = encodingOf(3, 3, 14, 0, 0)
const CNTPCT: number = encodingOf(3, 3, 14, 0, 1)
const CNTVCT: number = encodingOf(3, 3, 14, 0, 2)

/**
 * The bits that admit an access to a register of the generic timer: of EL0, and of EL1.
 *
 * Source: Arm ARM (DDI 0487) D24.10, "Generic Timer registers".
 */
const ADMITTED: ReadonlyMap<number, readonly [el0: number, el1: number]> = new Map([
  [CNTFRQ, [EL0PCTEN | EL0VCTEN, 0]],
  [CNTPCT, [EL0PCTEN, EL1PCTEN]],
  [CNTVCT, [EL0VCTEN, 0]],
  ...[0, 1, 2].map((op2) => [encodingOf(3, 3, 14, 2, op2), [EL0PTEN, EL1PCEN]] as const),
  ...[0, 1, 2].map((op2) => [encodingOf(3, 3, 14, 3, op2), [EL0VTEN, 0]] as const),
])

/** The registers of the generic timer, which the host has. */
export class CounterRegisters {
  readonly #state: SystemState
  readonly #host: ArmHost

  constructor(state: SystemState, host: ArmHost) {
    this.#state = state
    this.#host = host
  }

  /** The exception level that an access is trapped to; 0 for none. */
  trapOf(encoding: number): number {
    const admitted = ADMITTED.get(encoding)
    if (admitted === undefined) return 0
    const s = this.#state
    const [el0, el1] = admitted
    if (s.level === 0 && (s.word(S_CNTKCTL_EL1) & el0) === 0) return 1
    return el1 !== 0 && (s.word(S_CNTHCTL_EL2) & el1) === 0 ? 2 : 0
  }

  /** Reads a register that the host has. @returns a status, as {@link ArmHost.readSystem} */
  read(encoding: number, into: SystemValue): number {
    const { counter } = this.#host
    if (counter === undefined || (encoding !== CNTFRQ && encoding !== CNTVCT)) {
      return this.#host.readSystem?.(encoding, into) ?? STATUS_UNHANDLED
    }
    const value = encoding === CNTFRQ ? BigInt(counter.frequency) : counter.count()
    into.lo = Number(BigInt.asUintN(32, value))
    into.hi = Number(BigInt.asUintN(32, value >> 32n))
    return STATUS_DONE
  }
}
