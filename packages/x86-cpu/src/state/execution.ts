/* The result of a vCPU's run: its end, its work, and the events for a tracer. */

/** Why {@link Vcpu.run} returned. */
export type Exit =
  /** HLT: nothing to do until an event. */
  | { readonly reason: 'hlt' }
  /** MWAIT: nothing to do until the monitored line is written, or an event comes. */
  | { readonly reason: 'mwait' }
  /** A device has been asked and has not answered; run again when it has. */
  | { readonly reason: 'blocked' }
  /**
   * Much host time may have passed, in instructions that are slow here: look at the clock. The turn goes on with the rest
   * of its budget.
   */
  | { readonly reason: 'yield' }
  /** The budget is used up, or someone asked for attention. */
  | { readonly reason: 'budget' }
  /** PAUSE in what looks like a spin loop: another vCPU should run. */
  | { readonly reason: 'pause' }
  /** Triple fault: shutdown, until INIT or reset. */
  | { readonly reason: 'shutdown' }
  /** After INIT: waits for a start-up IPI. */
  | { readonly reason: 'wait-for-sipi' }
  /** A debugger has it stop; see `DebugControl`. */
  | { readonly reason: 'debug' }
  /** A broken invariant of the CPU itself. */
  | { readonly reason: 'error'; readonly error: unknown }

// Exits that say no more than their reason: made once.
export const EXIT_BUDGET: Exit = { reason: 'budget' }
export const EXIT_HLT: Exit = { reason: 'hlt' }
export const EXIT_MWAIT: Exit = { reason: 'mwait' }
export const EXIT_BLOCKED: Exit = { reason: 'blocked' }
export const EXIT_PAUSE: Exit = { reason: 'pause' }
export const EXIT_SHUTDOWN: Exit = { reason: 'shutdown' }
export const EXIT_YIELD: Exit = { reason: 'yield' }
export const EXIT_DEBUG: Exit = { reason: 'debug' }
export const EXIT_WAIT: Exit = { reason: 'wait-for-sipi' }

/** Makes the exit of a broken invariant. */
export function failed(error: unknown): Exit {
  return { reason: 'error', error }
}

/** How much an executor has done, by kind. */
export interface ExecutionCounts {
  /** Instructions executed by TypeScript handlers. */
  systemCalls: number
  /** Exceptions that instructions raised. */
  faults: number
  /** External interrupts delivered. */
  interrupts: number
  /** Instructions that waited or needed a logged pass. */
  loggedPasses: number
  /** Instructions executed one by one. */
  steps: number
  /** Locked instructions for which all other threads have waited. */
  exclusive: number
}

/** An event that a processor delivers: what its handler is entered for. */
export interface DeliveredEvent {
  /** `exception` is a fault or a trap. INT n, INT3 and INTO are instructions, and no events. */
  readonly kind: 'exception' | 'interrupt' | 'nmi' | 'smi'
  /** Vector; 2 of an NMI, −1 of an SMI. */
  readonly vector: number
  /** Error code; undefined: it has none. */
  readonly errorCode: number | undefined
  /** CR2 of a page fault. */
  readonly address: bigint | undefined
}

/**
 * Called for what a processor executes: for tracers. A watcher changes nothing, and the guest cannot tell.
 */
export interface ExecutionWatch {
  /**
   * The instruction at CS:RIP is about to be executed. With it instructions are executed one by one. A repeated string
   * instruction is told once for all of its iterations that nothing interrupts.
   */
  readonly instruction?: (() => void) | undefined
  /**
   * An event is delivered now, with CS:RIP at the instruction that it comes before. An event that leads to another is told first.
   */
  readonly event?: ((event: DeliveredEvent) => void) | undefined
}

/** The {@link ExecutionWatch} of a processor, for the parts of the processor that call it. */
export class WatchedExecution {
  /** {@link ExecutionWatch.instruction}, or null: nothing observes it. */
  instruction: (() => void) | null = null
  /** {@link ExecutionWatch.event}, or null: nothing observes it. */
  event: ((event: DeliveredEvent) => void) | null = null
  /** All of it. */
  current: ExecutionWatch | null = null

  /** Takes a watch, or with null ends that. */
  set(watch: ExecutionWatch | null): void {
    this.current = watch
    this.instruction = watch?.instruction ?? null
    this.event = watch?.event ?? null
  }
}
