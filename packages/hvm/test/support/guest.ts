import type { SharedTransport } from '@retrap/device-hosting'
import { startDeviceWorker } from '@retrap/device-hosting/node'
import { defineDevice, type DeviceModel } from '@retrap/device'
import type { DeviceFailure, FailurePolicy } from '@retrap/ioreq'
import {
  CODE,
  EXIT_PORT,
  FlatGuest,
  GDT,
  IDT,
  PROTECTED,
  RAM_BYTES,
  STACK,
  TestSleeper,
  type GuestRam,
} from '@retrap/x86-assembler/guest-code/flat-guest'
import { MachineMemory } from '@retrap/memory'
import type { Assembler } from '@retrap/x86-assembler'
import { type InitialCpuState, restoreVcpu, saveVcpu, type SavedCpu } from '@retrap/x86-cpu'
import { TEST_JIT } from '@retrap/tooling/jit'
import {
  DeterministicClock,
  type DomainClock,
  type DomainExit,
  type MakeVcpuThreads,
  RealClock,
  THREAD_BYTES,
  X86Domain,
} from '../../src/index.ts'

export { CODE, EXIT_PORT, GDT, IDT, PROTECTED, STACK, TestSleeper }

export interface GuestOptions {
  readonly vcpus?: number
  readonly clock?: DomainClock
  readonly policy?: FailurePolicy
  readonly devices?: readonly DeviceModel[]
  readonly deviceDeadlineMs?: number
  /** Workers can reach its memory. */
  readonly shared?: boolean
  readonly checkMappings?: boolean
  /** Its vCPUs execute in threads. */
  readonly threads?: MakeVcpuThreads
}

/** A domain of 1 MiB with a program of its own. */
export class Guest extends FlatGuest {
  readonly domain: X86Domain
  readonly memory: MachineMemory
  readonly sleeper: TestSleeper = new TestSleeper()
  /** Bytes that the guest wrote to port E9H. */
  readonly output: number[] = []
  readonly failures: DeviceFailure[] = []

  constructor(build: (asm: Assembler) => void, options: GuestOptions = {}) {
    super()
    this.memory = MachineMemory.create({
      bytes: (8 << 20) + (options.vcpus ?? 1) * ((3584 << 10) + (options.threads === undefined ? 0 : THREAD_BYTES)),
      shared: options.shared ?? options.threads !== undefined,
    })
    let seed = 1
    this.domain = new X86Domain({
      memory: this.memory,
      vcpus: options.vcpus ?? 1,
      clock: options.clock ?? new DeterministicClock(),
      random: () => (seed = (seed * 1_103_515_245 + 12_345) >>> 0),
      sleeper: this.sleeper,
      codeCacheBytes: 1 << 20,
      jit: TEST_JIT,
      checkMappings: options.checkMappings ?? false,
      threads: options.threads,
      onFailure: (failure) => void this.failures.push(failure),
      ...(options.policy !== undefined && { policy: options.policy }),
      ...(options.deviceDeadlineMs !== undefined && { deviceDeadlineMs: options.deviceDeadlineMs }),
    })
    this.domain.p2m.populate(0, RAM_BYTES / 0x1000)
    this.domain.attach(
      defineDevice({
        name: 'console',
        stateless: true,
        synchronous: true,
        ports: [
          { base: 0xe9, size: 1 },
          {
            base: EXIT_PORT,
            size: 1,
            write: (_offset, _size, code) => this.domain.stop({ reason: 'debug-exit', code }),
          },
        ],
        write: (_offset, _size, value) => void this.output.push(value),
      }),
    )
    for (const device of options.devices ?? []) this.domain.attach(device)
    this.loadDescriptors()
    this.program(CODE, 32, build)
    for (const vcpu of this.domain.vcpus) vcpu.cpu.reset(vcpu.id === 0)
    this.boot.load(PROTECTED)
  }

  get boot() {
    return (this.domain.vcpus[0] as X86Domain['vcpus'][number]).cpu
  }

  protected ram(): GuestRam {
    return this.domain.guestMemory
  }

  /** Has a further vCPU begin: without a start-up IPI. */
  start(id: number, state: InitialCpuState): void {
    const { cpu } = this.domain.vcpus[id] as X86Domain['vcpus'][number]
    cpu.load(state)
    restoreVcpu(cpu, { ...this.state(id), pending: this.state(0).pending })
  }

  run(): Promise<DomainExit> {
    return this.domain.run()
  }

  state(vcpu = 0): SavedCpu {
    return saveVcpu((this.domain.vcpus[vcpu] as X86Domain['vcpus'][number]).cpu)
  }
}

export function realClock(): DomainClock {
  return new RealClock(() => performance.now() * 1e6)
}

/** Adds a server whose model maps guest memory, in a Worker. */
export async function startMapper({ domain }: Guest): Promise<SharedTransport> {
  const transport = startDeviceWorker(domain.dispatch, domain.platform, {
    name: 'mapper',
    modules: [],
    program: new URL('mapping-worker.ts', import.meta.url),
    data: domain.platform.sharedMemory,
    realTime: false,
  })
  domain.addServer(transport)
  await transport.remote.ready
  return transport
}
