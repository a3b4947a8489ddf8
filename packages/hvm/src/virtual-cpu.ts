import type { InterruptLine } from '@retrap/device'
import type { StoreWatch } from '@retrap/x86-cpu'
import type { KeptByHypervisor } from './kept-by-hypervisor.ts'

/**
 * Why a processor has come back to its domain.
 *
 * `budget` and `pause`: it can continue at once. `debug`: a debugger stops it, and the domain pauses. `blocked`: an access
 * waits for its response. `shutdown`: it has shut down permanently, and its domain ends. `error`: an invariant does not hold;
 * `error` says which. Any other reason: it has nothing to do until an event arrives.
 */
export interface CpuExit {
  /** Why the vCPU came back. */
  readonly reason: string
  /** With the reason `error`. */
  readonly error?: unknown
}

/** A processor as the run loop drives it. */
export interface VirtualProcessor {
  /** Instructions that have retired since power-on. */
  readonly retired: number
  /** The cost of all execution so far, in instructions; a function of architectural events alone. */
  readonly cost: number
  /** Whether an instruction is in progress, waiting for a response. */
  readonly busy: boolean
  /** Executes up to `budget` instructions; at most `mostCalls` of them may need a call out of generated code. */
  run(budget: number, mostCalls?: number): CpuExit
  /** Executes one instruction, or delivers one event; absent: not supported. */
  step?(): CpuExit
  /** A turn that is used up may end before the next instruction: generated code does not look everywhere. Absent: it may. */
  turnMayEnd?: boolean
  /** A run that `stop` has ended is to be followed by the rest of its turn, before any other vCPU runs. Absent: it makes no difference. */
  goOn?(): void
  /** Instructions of the turn beyond the budget of the next `run` or `step`, so that one request to a device is not divided. */
  laterBudget?: number
  /** Continues the instruction in progress. @returns undefined when it has finished, otherwise why it cannot finish */
  settle(): CpuExit | undefined
  /** Makes `run` return at the end of the present instruction. */
  stop(): void
}

/** Called for the turns of vCPUs: for profilers. */
export interface TurnWatch {
  /** A vCPU is about to execute. */
  begin(vcpu: VirtualCpu): void
  /** Called when the vCPU's turn has ended. */
  end(vcpu: VirtualCpu): void
}

/** Stops and resumes vCPUs, for debuggers. */
export interface DebugWatch {
  /** A vCPU has come back with `debug`. The domain pauses; see `DomainExit`. */
  stopped(vcpu: VirtualCpu): void
  /** Whether a vCPU is held while others run. */
  holds(id: number): boolean
}

/** A vCPU's interface for its domain and the run loop, for any instruction set. */
export interface VirtualCpu {
  /** Number in the domain; the first is the bootstrap processor. */
  readonly id: number
  /** Processor. */
  readonly cpu: VirtualProcessor
  /** Whether the vCPU has nothing to do until something happens. */
  readonly dormant: boolean
  /** Called when the vCPU's turn has ended, and no other vCPU executes. */
  turnEnded(): void
  /**
   * Drops cached translations after a change of the guest's map.
   *
   * @param from - machine address of a frame whose contents alone are elsewhere now: translations go there
   * @param to - machine address of that frame, which may be written
   */
  mapChanged(from?: number, to?: number): void
  /** Forgets its translations for writing the first `count` of some machine frames: the next writes are to be noticed. */
  watchWrites(frames: Uint32Array, count: number): void
  /** Drops the request in flight: its response will be discarded. */
  cancelRequest(): void
  /** Power-on. */
  reset(): void
}

/** A vCPU whose stores a debugger follows: see `MemoryWatch`. */
export interface FollowedVcpu extends VirtualCpu {
  /** Processor. */
  readonly cpu: VirtualProcessor & {
    /** The next instruction has made some of its iterations. */
    readonly repeats: boolean
    /** The delivery of an event is in the middle. */
    readonly delivers: boolean
    /** Linear address of the next instruction; of the present one while it is executed alone. */
    readonly nextAddress: bigint
    /** Events that were delivered. */
    readonly counts: { readonly interrupts: number; readonly faults: number }
    /** Tells `watch` of stores to some machine memory; null ends that. */
    watchStores(watch: StoreWatch | null): void
  }
  /** Accesses of the guest to devices. */
  readonly counts: { readonly portAccesses: number; readonly mmioAccesses: number }
  /** Memory at linear addresses, for debuggers. */
  readonly translation: {
    /** Reads without side effects. @returns how many bytes were readable */
    peek(linear: bigint, into: Uint8Array): number
    /** Returns a guest-physical address; −1 if the address is unmapped. */
    peekPhysical(linear: bigint): number
  }
}

/** Threads of a domain's vCPUs, as far as the rest of the domain has to do with them. */
export interface VcpuThreadControl {
  /** Whether any vCPU is in its thread. */
  readonly areRunning: boolean
  /** Whether a vCPU is in its thread. */
  isRunning(vcpu: number): boolean
  /** Serves the calls of the threads. @returns how many there were */
  serve(): number
  /** A vCPU's request has its answer: its thread goes on. @returns false if no thread waits for that answer */
  answered(vcpu: number): boolean
  /** Has all vCPUs park, between two instructions. */
  kick(): void
  /** Ends the threads of vCPUs that run, because these are about to be reset. */
  forget(): void
  /** Ends all threads. */
  close(): void
}

/** A domain's vCPUs and interrupt controllers: its part that depends on the instruction set. */
export interface Architecture<V extends VirtualCpu = VirtualCpu> {
  /** vCPUs by number, as many as in the domain's options. */
  readonly vcpus: readonly V[]
  /** The wire to an input of the interrupt controllers. */
  interruptLine(irq: number): InterruptLine
  /** The wire of a PCI function's interrupt pin, 1–4. */
  pciInterrupt(device: number, pin: number): InterruptLine
  /** PCI functions may have port 0: the processors have no ports of their own. Default: they may not. */
  readonly hasPortZero?: boolean
  /** Threads of the vCPUs; absent: they take turns on the domain's. */
  readonly threads?: VcpuThreadControl | undefined
  /** Delivers a device's message. */
  signalMsi(address: number, data: number, requester: number): void
  /** Frees the vCPU's machine memory, if possible; the vCPU is not used any more. */
  free?(): void
  /** Power-on of everything but the vCPUs, before that of device models. */
  reset(): void
}

/**
 * A hypervisor's own interface for guests, as the domain that it is plugged into calls it.
 *
 * This part is the run loop's and the devices'; an instruction set adds what its processors ask.
 */
export interface Paravirtual {
  /** The part of the guest's state that the hypervisor keeps. Without it, the domain is not saved. */
  readonly kept?: KeptByHypervisor | undefined
  /** Whether a vCPU waits in a hypercall. */
  blocks(vcpu: number): boolean
  /** Whether a vCPU may have a turn. Delivers pending events first. */
  mayRun(vcpu: number): boolean
  /** A vCPU's turn begins. */
  beforeTurn(vcpu: number): void
  /** Called after a vCPU's turn, with the reason of its exit. */
  afterTurn(vcpu: number, reason: string): void
  /** Takes a device's message. @returns false for one that is for the interrupt controllers */
  takesMessage(address: number, data: number): boolean
  /** Power-on. */
  reset(): void
}
