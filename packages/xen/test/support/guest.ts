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

/** Guest RAM of a test, by guest-physical addresses. */
export abstract class RamOfGuest {
  abstract readonly domain: {
    readonly guestMemory: Record<'read' | 'load', (gpa: number, bytes: Uint8Array) => boolean>
  }

  write(gpa: number, bytes: Uint8Array): void {
    if (!this.domain.guestMemory.load(gpa, bytes)) throw new Error(`no RAM at ${gpa.toString(16)}`)
  }

  write32(gpa: number, ...values: readonly number[]): void {
    this.write(gpa, new Uint8Array(Uint32Array.from(values).buffer))
  }

  write64(gpa: number, ...values: readonly (number | bigint)[]): void {
    this.write(gpa, new Uint8Array(BigUint64Array.from(values, BigInt).buffer))
  }

  read(gpa: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    if (!this.domain.guestMemory.read(gpa, bytes)) throw new Error(`no RAM at ${gpa.toString(16)}`)
    return bytes
  }

  read32(gpa: number): number {
    return new DataView(this.read(gpa, 4).buffer).getUint32(0, true)
  }

  read64(gpa: number): bigint {
    return new DataView(this.read(gpa, 8).buffer).getBigUint64(0, true)
  }
}
