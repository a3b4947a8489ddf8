/** An event that a processor delivers: what its handler is entered for. */
export interface DeliveredEvent {
  /** `exception` is a fault or a trap. INT n, INT3 and INTO are instructions, and no events. */
  readonly kind: 'exception' | 'interrupt' | 'nmi' | 'smi'
  /** Its vector; 2 of an NMI, −1 of an SMI. */
  readonly vector: number
  /** Its error code; undefined: it has none. */
  readonly errorCode: number | undefined
  /** CR2 of a page fault. */
  readonly address: bigint | undefined
}

/**
 * Told of what a processor executes: for tracers. What it is told changes nothing, and the guest cannot tell.
 */
export interface ExecutionWatch {
  /**
   * The instruction at CS:RIP is about to be executed. With it instructions are executed one by one. A repeated string
   * instruction is told once for all of its iterations that nothing interrupts.
   */
  readonly instruction?: (() => void) | undefined
  /** An event is delivered now, with CS:RIP at the instruction that it comes before. One that leads to another is told first. */
  readonly event?: ((event: DeliveredEvent) => void) | undefined
}

/** The {@link ExecutionWatch} of a processor, for the parts of the processor that call it. */
export class WatchedExecution {
  /** {@link ExecutionWatch.instruction}, or null: nobody looks. */
  instruction: (() => void) | null = null
  /** {@link ExecutionWatch.event}, or null: nobody looks. */
  event: ((event: DeliveredEvent) => void) | null = null

  /** Takes a watch, or with null ends that. */
  set(watch: ExecutionWatch | null): void {
    this.instruction = watch?.instruction ?? null
    this.event = watch?.event ?? null
  }
}
