/**
 * Why a processor has come back to its domain.
 *
 * `budget` and `pause`: it can go on at once. `debug`: a debugger has it stop, and the domain pauses. `blocked`: an access waits for its answer. `shutdown`: it has shut down for
 * good, and its domain ends. `error`: an invariant does not hold; `error` says which. Any other reason: it has nothing to
 * do until something happens.
 */
export interface CpuExit {
  /** Why it came back. */
  readonly reason: string
  /** With the reason `error`. */
  readonly error?: unknown
}

/** A processor as the run loop drives it. */
export interface VirtualProcessor {
  /** Instructions that have retired since power-on. */
  readonly retired: number
  /** What all that was executed has cost, in instructions; a function of architectural events alone. */
  readonly cost: number
  /** Whether an instruction is under way: it waits for an answer. */
  readonly busy: boolean
  /** Executes up to `budget` instructions, from where it was; `mostCalls` of those that generated code cannot execute. */
  run(budget: number, mostCalls?: number): CpuExit
  /** Executes one instruction, or delivers one event; absent: it cannot do one alone. */
  step?(): CpuExit
  /** A turn that is used up may end before the next instruction: generated code does not look everywhere. Absent: it may. */
  turnMayEnd?: boolean
  /** Goes on with the instruction that is under way. @returns undefined when none is any more, else why it cannot finish */
  settle(): CpuExit | undefined
  /** Has `run` return at the end of the present instruction. */
  stop(): void
}

/** Told of the turns of vCPUs: for profilers. */
export interface TurnWatch {
  /** A vCPU is about to execute. */
  begin(vcpu: VirtualCpu): void
  /** It has come back. */
  end(vcpu: VirtualCpu): void
}

/** Has vCPUs stop and go on: for debuggers. */
export interface DebugWatch {
  /** A vCPU has come back with `debug`. The domain pauses; see `DomainExit`. */
  stopped(vcpu: VirtualCpu): void
  /** Whether a vCPU stays where it is while others run. */
  holds(id: number): boolean
}

/** A vCPU as its domain and the run loop see it, whatever its instruction set. */
export interface VirtualCpu {
  /** Its number in the domain; the first is the bootstrap processor. */
  readonly id: number
  /** Its processor. */
  readonly cpu: VirtualProcessor
  /** Whether it has nothing to do until something happens. */
  readonly dormant: boolean
  /** It has come back from a turn, and no other vCPU executes. */
  turnEnded(): void
  /** Forgets what it has translated: the guest's map has changed. */
  mapChanged(): void
  /** Forgets its translations for writing the first `count` of some machine frames: the next writes are to be noticed. */
  watchWrites(frames: Uint32Array, count: number): void
  /** Forgets the request in flight: its answer will be drained and dropped. */
  cancelRequest(): void
  /** Power-on. */
  reset(): void
}
