import type { Exceptions } from './system/exceptions.ts'
import { S_FAULT_ADDRESS, S_FAULT_SYNDROME } from './state-layout.ts'
import { EC_SVC32, EC_SVC64, exceptionClassOf, hasFaultAddress } from './syndrome.ts'
import type { SystemState } from './system/system-state.ts'

/** An event that EL1 takes: what its vector is entered for. */
export interface ArmDeliveredEvent {
  /** SVC is an instruction, and no event; what EL2 takes is none either. */
  readonly kind: 'exception' | 'irq' | 'fiq' | 'serror'
  /** Of an exception ESR_EL1; 0 of others. */
  readonly syndrome: number
  /** FAR_EL1; undefined: the exception has none. */
  readonly address: bigint | undefined
}

/** Told of what a processor executes: for tracers. A watcher changes nothing, and the guest cannot tell. */
export interface ArmExecutionWatch {
  /** The instruction at the program counter is about to be executed. With it instructions are executed one by one. */
  readonly instruction?: (() => void) | undefined
  /** An event is taken now, with the program counter at the instruction that it comes before. */
  readonly event?: ((event: ArmDeliveredEvent) => void) | undefined
}

/** The {@link ArmExecutionWatch} of a processor, for the parts of the processor that call it. */
export class WatchedExecution {
  /** {@link ArmExecutionWatch.instruction}, or null: nobody looks. */
  instruction: (() => void) | null = null
  /** {@link ArmExecutionWatch.event}, or null: nobody looks. */
  event: ((event: ArmDeliveredEvent) => void) | null = null

  /** Takes a watch, or with null ends that. */
  set(watch: ArmExecutionWatch | null): void {
    this.instruction = watch?.instruction ?? null
    this.event = watch?.event ?? null
  }

  /** Tells of the exception that the state has, if EL1 is about to take it. */
  exception(system: SystemState, exceptions: Exceptions): void {
    if (this.event === null || exceptions.isForEl2) return
    const raised = system.word(S_FAULT_SYNDROME)
    const exceptionClass = exceptionClassOf(raised)
    if (exceptionClass === EC_SVC64 || exceptionClass === EC_SVC32) return
    const address = (BigInt(system.word(S_FAULT_ADDRESS + 4)) << 32n) | BigInt(system.word(S_FAULT_ADDRESS))
    const { syndrome } = exceptions
    this.event({ kind: 'exception', syndrome, address: hasFaultAddress(raised) ? address : undefined })
  }

  /** Tells of an interrupt that EL1 is about to take. */
  interrupt(kind: 'irq' | 'fiq' | 'serror'): void {
    this.event?.({ kind, syndrome: 0, address: undefined })
  }
}
