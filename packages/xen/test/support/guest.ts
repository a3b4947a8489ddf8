import { DeterministicClock, X86Domain } from '@retrap/hvm'
import type { DomainExit, Sleeper } from '@retrap/hvm'
import { defineDevice } from '@retrap/device'
import { MachineMemory } from '@retrap/memory'
import { Assembler } from '@retrap/x86-assembler'
import { saveVcpu } from '@retrap/x86-cpu'
import type { SavedCpu } from '@retrap/x86-cpu'

/** Where guests start: flat 32-bit protected mode without paging. */
export const CODE = 0x1_0000
export const STACK = 0x9_0000
export const IDT = 0x8000
export const GDT = 0x8800
/** A byte written here ends the domain with it as code. */
export const EXIT_PORT = 0xf4
const RAM_BYTES = 1 << 20

/** Waits on Node's event loop, and counts how often. */
export class TestSleeper implements Sleeper {
  #wake: (() => void) | undefined
  sleeps = 0
  sleep(ms: number): Promise<void> {
    this.sleeps++
    if (ms === 0) return new Promise((resolve) => void setImmediate(resolve))
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.min(ms, 5000))
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
  wake(): void {
    this.#wake?.()
  }
}

/** A domain of 1 MiB with a program of its own. */
export class Guest {
  readonly domain: X86Domain
  readonly memory: MachineMemory
  readonly sleeper: TestSleeper = new TestSleeper()

  constructor(build: (asm: Assembler) => void) {
    this.memory = MachineMemory.create({ bytes: (8 << 20) + (512 << 10) })
    this.domain = new X86Domain({
      memory: this.memory,
      vcpus: 1,
      clock: new DeterministicClock(),
      random: () => 4,
      sleeper: this.sleeper,
      codeCacheBytes: 1 << 20,
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
    // Null, 32-bit code, data.
    for (const [i, descriptor] of [0n, 0x00cf_9b00_0000_ffffn, 0x00cf_9300_0000_ffffn].entries()) {
      this.write64(GDT + 8 * i, descriptor)
    }
    this.program(CODE, 32, build)
    for (const vcpu of this.domain.vcpus) vcpu.cpu.reset(vcpu.id === 0)
    this.boot.load(PROTECTED)
  }

  get boot() {
    return (this.domain.vcpus[0] as X86Domain['vcpus'][number]).cpu
  }

  program(address: number, bits: 16 | 32, build: (asm: Assembler) => void): void {
    const asm = new Assembler({ bits, address })
    build(asm)
    this.domain.guestMemory.load(address, asm.assemble().bytes)
  }

  write64(gpa: number, value: bigint): void {
    const bytes = new Uint8Array(8)
    new DataView(bytes.buffer).setBigUint64(0, value, true)
    this.domain.guestMemory.load(gpa, bytes)
  }

  read32(gpa: number): number {
    const bytes = new Uint8Array(4)
    if (!this.domain.guestMemory.read(gpa, bytes)) throw new Error('not RAM')
    return new DataView(bytes.buffer).getUint32(0, true)
  }

  /** A 32-bit interrupt gate. */
  vector(number: number, address: number): void {
    this.write64(
      IDT + 8 * number,
      BigInt(address & 0xffff) | (8n << 16n) | (0x8e00n << 32n) | (BigInt(address >>> 16) << 48n),
    )
  }

  run(): Promise<DomainExit> {
    return this.domain.run()
  }

  state(): SavedCpu {
    return saveVcpu(this.boot)
  }
}

const DATA = { selector: 0x10, base: 0, limit: 0xffff_ffff, attributes: 0xc093 }
/** Flat 32-bit protected mode. */
export const PROTECTED = {
  registers: { rip: CODE, rsp: STACK, rflags: 2 },
  segments: {
    cs: { selector: 8, base: 0, limit: 0xffff_ffff, attributes: 0xc09b },
    ds: DATA,
    es: DATA,
    fs: DATA,
    gs: DATA,
    ss: DATA,
    ldtr: { selector: 0, base: 0, limit: 0, attributes: 0x82 },
    tr: { selector: 0, base: 0, limit: 0x67, attributes: 0x8b },
  },
  gdtr: { base: GDT, limit: 23 },
  idtr: { base: IDT, limit: 0x7ff },
  cr0: 0x11,
  cr3: 0,
  cr4: 0,
  efer: 0,
}
