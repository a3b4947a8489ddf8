import { DeterministicClock, Domain } from '../../src/index.ts'
import type { HvmVcpu } from '../../src/index.ts'
import type { RangeHandler } from '@retrap/ioreq'
import { MachineMemory } from '@retrap/memory'
import { P2mType } from '@retrap/p2m'
import {
  S_FAULT_VECTOR,
  S_FPR,
  S_GPR,
  S_PDPTE,
  S_RIP,
  S_SCRATCH,
  S_SEGMENTS,
  restoreVcpu,
  saveVcpu,
} from '@retrap/x86-cpu'
import type { Vcpu } from '@retrap/x86-cpu'
import {
  FIFO_GPA,
  MODES,
  PDPTE_0,
  PORT,
  PORTS,
  RAM_BYTES,
  STORE_BYTES,
  STORE_GPA,
  WINDOW_PAGES,
  initialState,
} from './layout.ts'

/** How a machine's devices are reached, and when they answer. */
export type Transport = 'at once' | 'promise'

const READ = 0
const WRITE = 1

/**
 * What the guest's devices are, whoever carries their accesses: a window and ports whose every read gives something
 * else, and a window that keeps what it is given.
 */
export class Devices {
  /** Four numbers an access: which device and direction, offset, size, value. */
  readonly log: number[] = []
  readonly store = new Uint8Array(STORE_BYTES)
  #accesses = 0

  reset(): void {
    this.log.length = 0
    this.#accesses = 0
  }

  access(device: number, direction: number, offset: number, size: number, value: number): number {
    this.#accesses++
    let result = value
    if (device === STORE) {
      if (direction === READ) {
        result = 0
        for (let i = size - 1; i >= 0; i--) result = ((result << 8) | (this.store[offset + i] as number)) >>> 0
      } else for (let i = 0; i < size; i++) this.store[offset + i] = value >>> (8 * i)
    } else if (direction === READ) {
      // Small numbers, and ones that look like addresses, now and then.
      const hash = Math.imul(this.#accesses * 0x1_0001 + offset, 0x9e37_79b1)
      result = (hash & 3) === 0 ? hash >>> 28 : hash >>> 0
    }
    this.log.push(device * 2 + direction, offset, size, result)
    return result
  }
}

const FIFO = 0
const STORE = 1
const PORT_DEVICE = 2

/** A domain with one vCPU that is driven by hand. */
export class ChaosMachine {
  readonly domain: Domain
  readonly vcpu: HvmVcpu
  readonly cpu: Vcpu
  readonly devices = new Devices()
  /** Guest RAM from guest-physical 0 on. */
  readonly ram: Uint8Array
  readonly view: DataView
  readonly memory: MachineMemory
  /** Machine frame of guest frame 0; the others follow. */
  readonly firstFrame: number
  /** Set by the domain when an answer has come. */
  woken = false
  /** Lets the device answer the access that waits. */
  answer: (() => void) | undefined
  failure: unknown
  /** States to begin an instruction with: by mode, with an empty and with a full x87 stack. */
  readonly #states: Uint8Array[][] = []

  constructor(transport: Transport) {
    const memory = MachineMemory.create({ bytes: 14 << 20 })
    this.memory = memory
    let seed = 1
    this.domain = new Domain({
      memory,
      vcpus: 1,
      clock: new DeterministicClock(),
      random: () => (seed = (seed * 1_103_515_245 + 12_345) >>> 0),
      sleeper: { sleep: () => Promise.resolve(), wake: () => void (this.woken = true) },
      codeCacheBytes: 3 << 20,
    })
    this.firstFrame = memory.frames.tryAllocate(9)
    this.domain.p2m.insertRange(0, this.firstFrame, RAM_BYTES / 0x1000, P2mType.RAM_RW)
    const base = this.firstFrame * 0x1000
    this.ram = memory.u8.subarray(base, base + RAM_BYTES)
    this.view = new DataView(memory.buffer, base, RAM_BYTES)
    this.vcpu = this.domain.vcpus[0] as HvmVcpu
    this.cpu = this.vcpu.cpu
    this.#attach(transport)
    for (const mode of MODES) {
      this.cpu.reset(true)
      this.cpu.load(initialState(mode))
      const saved = saveVcpu(this.cpu)
      const states = ['0xff', '0x0'].map((empty) => {
        restoreVcpu(this.cpu, {
          ...saved,
          registers: { ...saved.registers, xcr0: '0x7' },
          x87: { ...saved.x87, control: '0x37f', empty, mxcsr: '0x1f80' },
        })
        this.cpu.u32[S_PDPTE >>> 2] = mode.paging === 'pae' ? PDPTE_0 : 0
        return this.cpu.u8.slice()
      })
      this.#states.push(states)
    }
    this.domain.interrupts.localApic(0).write(0xf0, 0x1ff)
  }

  #attach(transport: Transport): void {
    const handler = (device: number): RangeHandler => {
      const access = (direction: number, offset: number, size: number, value: number): number =>
        this.devices.access(device, direction, offset, size, value)
      if (transport === 'at once') {
        return {
          read: (offset, size) => access(READ, offset, size, 0),
          write: (offset, size, value) => void access(WRITE, offset, size, value),
        }
      }
      const later = <T>(value: T): Promise<T> =>
        new Promise((resolve) => {
          this.answer = () => resolve(value)
        })
      return {
        read: (offset, size) => later(access(READ, offset, size, 0)),
        write: (offset, size, value) => {
          access(WRITE, offset, size, value)
          return later(undefined)
        },
      }
    }
    this.domain.attach({
      name: 'devices',
      synchronous: transport === 'at once',
      attach: (context) => {
        context.mapMmio(FIFO_GPA, WINDOW_PAGES * 0x1000, handler(FIFO))
        context.mapMmio(STORE_GPA, STORE_BYTES, handler(STORE))
        context.mapPorts(PORT, PORTS, handler(PORT_DEVICE))
      },
    })
  }

  /** The state that an instruction begins with; general and vector registers are the caller's. */
  begin(mode: number, fullX87: boolean): void {
    this.cpu.u8.set((this.#states[mode] as Uint8Array[])[fullX87 ? 1 : 0] as Uint8Array)
    this.vcpu.controlChanged()
    this.cpu.flushTlb(true)
    this.cpu.modeChanged()
  }

  /** Machine address of a guest-physical address of RAM, whatever the p2m says just now. */
  machineAddress(gpa: number): number {
    return this.firstFrame * 0x1000 + gpa
  }

  /** RAM has been written behind the processor's back. */
  codeHasChanged(): void {
    for (let gpa = 0; gpa < RAM_BYTES; gpa += 0x1000) {
      const ma = this.machineAddress(gpa)
      if (this.memory.codeBits[ma >>> 12] !== 0) this.memory.noteWrite(ma, 0x1000)
    }
  }

  /** Parts of the state that an instruction may change. */
  registers(): readonly Uint8Array[] {
    const { u8 } = this.cpu
    return [u8.subarray(S_GPR, S_RIP + 8), u8.subarray(S_SEGMENTS, S_FAULT_VECTOR), u8.subarray(S_FPR, S_SCRATCH)]
  }

  /** Drives the device until the vCPU may go on. */
  async settle(): Promise<void> {
    for (let tick = 0; !this.woken; tick++) {
      if (tick > 100_000) throw new Error('the device has not answered')
      const { answer } = this
      this.answer = undefined
      answer?.()
      await Promise.resolve()
    }
    this.woken = false
  }
}
