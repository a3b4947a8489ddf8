import type { Domain, VirtualCpu } from '@retrap/hvm'

/** One look at a vCPU, between two instructions. */
export interface GuestSample {
  /** Number of the vCPU. */
  readonly vcpu: number
  /** Nanoseconds that the vCPU has executed since its last sample: of host time, or on deterministic time of virtual time. */
  readonly ns: number
  /** Linear address of the next instruction. */
  readonly address: bigint
  /** Linear return addresses of the callers, as far as they are found; the innermost first. */
  readonly callers: readonly bigint[]
  /** Linear address of the top of the stack. */
  readonly stackPointer: bigint
  /** Whether the code is a process's: of ring 3, or of EL0. */
  readonly isUser: boolean
  /**
   * Physical address of the page tables by which processes are told apart: of CR3 or TTBR0_EL1, without their other fields;
   * undefined while paging is off.
   */
  readonly pageTables: bigint | undefined
}

/** Memory of the guest as a vCPU sees it. */
export interface SampledMemory {
  /**
   * Reads memory at a linear address, whatever the guest's own rights to it; nothing changes, and no device is asked. Called
   * while a sample is reported.
   *
   * @returns how many bytes were read, up to the first byte without mapped memory
   */
  peek(linear: bigint, into: Uint8Array): number
}

/** A vCPU of which samples are taken. */
export interface SampledVcpu extends SampledMemory {
  /** Calls `sample` once, between two instructions, when the processor's cost has grown by `cost`. */
  sampleAfter(cost: number, sample: () => void): void
  /** Takes a sample. */
  look(): Omit<GuestSample, 'vcpu' | 'ns'>
}

/** Options of a sampling profiler. */
export interface SamplingOptions {
  /** Milliseconds between two samples of a vCPU that executes; default 1. */
  readonly intervalMs?: number | undefined
  /** Called for each sample. `memory` is the guest's, until the call returns. */
  readonly onSample: (sample: GuestSample, memory: SampledMemory) => void
  /** Called for time in which no vCPU executed, in nanoseconds. */
  readonly onIdle?: ((ns: number) => void) | undefined
}

const DEFAULT_INTERVAL_MS = 1
const NS_PER_MS = 1e6
/** A sample is taken within this many instructions after it is due. More than a short loop has, less than a turn. */
const SPREAD = 8192

/** The account of a vCPU. */
interface Account {
  /** Nanoseconds executed since the last sample. */
  ns: number
  /** The processor's cost when the turn began, on deterministic time. */
  cost: number
  armed: boolean
  /** Reads the vCPU. */
  readonly take: () => void
}

/**
 * Takes samples of a domain's vCPUs.
 *
 * A sample is due when a vCPU has executed for the interval, and taken a random number of instructions later. It stands
 * for the time that has passed since the sample before. Time that no vCPU executes is idle.
 */
export class Sampler {
  readonly #clock: Domain['clock']
  readonly #vcpus: readonly SampledVcpu[]
  readonly #options: SamplingOptions
  readonly #intervalNs: number
  readonly #accounts: readonly Account[]
  readonly #origin: number
  /** Begin of the current turn. */
  #begun = 0
  /** Nanoseconds that vCPUs have executed. */
  #executed = 0
  /** Idle nanoseconds already reported. */
  #idle = 0
  #random = 0x2545_f491

  /** @param vcpus - the domain's vCPUs, in order */
  constructor(domain: Pick<Domain, 'clock' | 'vcpus'>, vcpus: readonly SampledVcpu[], options: SamplingOptions) {
    this.#clock = domain.clock
    this.#vcpus = vcpus
    this.#options = options
    this.#intervalNs = (options.intervalMs ?? DEFAULT_INTERVAL_MS) * NS_PER_MS
    this.#accounts = domain.vcpus.map((vcpu) => {
      const take = (): void => this.#take(vcpu, vcpus[vcpu.id]!, account)
      const account: Account = { ns: 0, cost: 0, armed: false, take }
      return account
    })
    this.#origin = this.#clock.now()
  }

  begin({ id, cpu }: VirtualCpu): void {
    const account = this.#accounts[id]!
    const now = this.#clock.now()
    this.#begun = now
    account.cost = cpu.cost
    const idle = now - this.#origin - this.#executed - this.#idle
    if (idle >= this.#intervalNs) {
      this.#idle += idle
      this.#options.onIdle?.(idle)
    }
    if (account.armed || account.ns < this.#intervalNs) return
    account.armed = true
    this.#vcpus[id]!.sampleAfter(this.#draw(), account.take)
  }

  end({ id, cpu }: VirtualCpu): void {
    const account = this.#accounts[id]!
    const ns = this.#nsOfTurn(account, cpu.cost)
    account.ns += ns
    this.#executed += ns
  }

  #nsOfTurn(account: Account, cost: number): number {
    const clock = this.#clock
    // On deterministic time an instruction takes a nanosecond, and the clock goes on at the end of the turn.
    return clock.deterministic ? cost - account.cost : clock.now() - this.#begun
  }

  #take({ id, cpu }: VirtualCpu, sampled: SampledVcpu, account: Account): void {
    const elapsed = this.#nsOfTurn(account, cpu.cost)
    this.#options.onSample({ vcpu: id, ns: account.ns + elapsed, ...sampled.look() }, sampled)
    // The end of the turn adds this turn's part once more.
    account.ns = -elapsed
    account.armed = false
  }

  /** A number of instructions below {@link SPREAD} (xorshift32). */
  #draw(): number {
    let random = this.#random
    random ^= random << 13
    random ^= random >>> 17
    random ^= random << 5
    this.#random = random
    return random & (SPREAD - 1)
  }
}
