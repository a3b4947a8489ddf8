import type { VirtualCpu, X86Domain, X86Vcpu } from '@retrap/hvm'
import { CR0_PG } from '@retrap/x86-cpu'
import { callersOf, linearAddress } from './call-stack.ts'

/** One look at a vCPU, between two instructions. */
export interface GuestSample {
  /** Number of the vCPU. */
  readonly vcpu: number
  /** Nanoseconds that the vCPU has executed since its last sample: of host time, or of virtual time where that is deterministic. */
  readonly ns: number
  /** Linear address of the next instruction. */
  readonly address: bigint
  /** Linear return addresses of the callers, as far as they are found; the innermost first. */
  readonly callers: readonly bigint[]
  /** Current privilege level. */
  readonly cpl: number
  /** CR3; undefined while paging is off. */
  readonly cr3: bigint | undefined
}

/** How a PC takes samples of what its guest executes. */
export interface SamplingOptions {
  /** Milliseconds between two samples of a vCPU that executes; default 1. */
  readonly intervalMs?: number | undefined
  /** Told of each sample. */
  readonly onSample: (sample: GuestSample) => void
  /** Told of time in which no vCPU executed, in nanoseconds. */
  readonly onIdle?: ((ns: number) => void) | undefined
}

const DEFAULT_INTERVAL_MS = 1
const NS_PER_MS = 1e6
/** A sample is taken within so many instructions after it is due. More than a short loop has, less than a turn. */
const SPREAD = 8192

/** What is known of a vCPU. */
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
 * for the time that has passed since the last one. Time that no vCPU executes is idle.
 */
export class Sampler {
  readonly #domain: X86Domain
  readonly #options: SamplingOptions
  readonly #intervalNs: number
  readonly #accounts: readonly Account[]
  readonly #origin: number
  /** When the turn that is under way began. */
  #begun = 0
  /** Nanoseconds that vCPUs have executed. */
  #executed = 0
  /** Idle nanoseconds that have been told. */
  #idle = 0
  #random = 0x2545_f491

  constructor(domain: X86Domain, options: SamplingOptions) {
    this.#domain = domain
    this.#options = options
    this.#intervalNs = (options.intervalMs ?? DEFAULT_INTERVAL_MS) * NS_PER_MS
    this.#accounts = domain.vcpus.map((vcpu) => {
      const account: Account = { ns: 0, cost: 0, armed: false, take: () => this.#take(vcpu, account) }
      return account
    })
    this.#origin = domain.clock.now()
  }

  begin({ id, cpu }: VirtualCpu): void {
    const account = this.#accounts[id]!
    const now = this.#domain.clock.now()
    this.#begun = now
    account.cost = cpu.cost
    const idle = now - this.#origin - this.#executed - this.#idle
    if (idle >= this.#intervalNs) {
      this.#idle += idle
      this.#options.onIdle?.(idle)
    }
    if (account.armed || account.ns < this.#intervalNs) return
    account.armed = true
    this.#domain.vcpus[id]!.cpu.sampleAfter(this.#draw(), account.take)
  }

  end({ id, cpu }: VirtualCpu): void {
    const account = this.#accounts[id]!
    const ns = this.#nsOfTurn(account, cpu.cost)
    account.ns += ns
    this.#executed += ns
  }

  #nsOfTurn(account: Account, cost: number): number {
    const { clock } = this.#domain
    // On deterministic time an instruction takes a nanosecond, and the clock goes on at the end of the turn.
    return clock.deterministic ? cost - account.cost : clock.now() - this.#begun
  }

  #take(vcpu: X86Vcpu, account: Account): void {
    const elapsed = this.#nsOfTurn(account, vcpu.cpu.cost)
    const { registers } = vcpu.cpu
    this.#options.onSample({
      vcpu: vcpu.id,
      ns: account.ns + elapsed,
      address: linearAddress(vcpu),
      callers: callersOf(this.#domain, vcpu),
      cpl: registers.cpl,
      cr3: (registers.cr0 & CR0_PG) === 0 ? undefined : registers.cr3,
    })
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
