import { DeterministicClock, X86Domain, type DomainExit } from '@retrap/hvm'
import { defineDevice } from '@retrap/device'
import {
  CODE,
  EXIT_PORT,
  FlatGuest,
  PROTECTED,
  RAM_BYTES,
  TestSleeper,
  type GuestRam,
} from '@retrap/x86-assembler/guest-code/flat-guest'
import { MachineMemory } from '@retrap/memory'
import type { Assembler } from '@retrap/x86-assembler'
import { saveVcpu, type SavedCpu } from '@retrap/x86-cpu'
import { TEST_JIT } from '@retrap/tooling/jit'

export { CODE, EXIT_PORT, PROTECTED, TestSleeper }

/** A domain of 1 MiB with a program of its own. */
export class Guest extends FlatGuest {
  readonly domain: X86Domain
  readonly memory: MachineMemory
  readonly sleeper: TestSleeper = new TestSleeper()

  constructor(build: (asm: Assembler) => void) {
    super()
    this.memory = MachineMemory.create({ bytes: (8 << 20) + (3584 << 10) })
    this.domain = new X86Domain({
      memory: this.memory,
      vcpus: 1,
      clock: new DeterministicClock(),
      random: () => 4,
      sleeper: this.sleeper,
      codeCacheBytes: 1 << 20,
      jit: TEST_JIT,
    })
    this.domain.p2m.populate(0, RAM_BYTES / 0x1000)
    this.domain.attach(
      defineDevice({
        name: 'exit',
        synchronous: true,
        ports: { base: EXIT_PORT, size: 1 },
        write: (_offset, _size, code) => this.domain.stop({ reason: 'debug-exit', code }),
      }),
    )
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

  run(): Promise<DomainExit> {
    return this.domain.run()
  }

  state(): SavedCpu {
    return saveVcpu(this.boot)
  }
}
