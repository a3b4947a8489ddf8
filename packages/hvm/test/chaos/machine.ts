import { DeterministicClock, Domain } from '../../src/index.ts'
import type { HvmVcpu } from '../../src/index.ts'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DeviceListener, connectDevices, startDeviceWorker } from '@retrap/ioreq/node'
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
import { DEVICES_BYTES, Devices } from './devices.ts'
import { HANDLERS, KERNEL_STACK, MODES, PDPTE_0, RAM_BYTES, initialState } from './layout.ts'

/** How a machine's devices are reached, and when they answer. */
export const TRANSPORTS = ['at once', 'promise', 'Worker', 'socket'] as const
export type Transport = (typeof TRANSPORTS)[number]

/** Where SYSCALL and SYSENTER lead, and what SYSRET returns with. */
const ENTRY_POINTS = {
  star: '0x0023001000000000',
  lstar: `0x${HANDLERS.toString(16)}`,
  cstar: `0x${HANDLERS.toString(16)}`,
  fmask: '0x200',
  sysenterCs: '0x10',
  sysenterEip: `0x${HANDLERS.toString(16)}`,
  sysenterEsp: `0x${(KERNEL_STACK + 0x900).toString(16)}`,
}

const SPURIOUS_VECTOR = 0xf0
const END_OF_INTERRUPT = 0xb0

/** A way to devices that are elsewhere. */
interface Far {
  readonly devices: Devices
  /** Lets answers come, or keeps them. */
  open?(open: boolean): void
  /** Waits for what they have to say. */
  wait(): Promise<void>
  close(): Promise<void>
}

/** A domain with one vCPU that is driven by hand. */
export class ChaosMachine {
  readonly domain: Domain
  readonly vcpu: HvmVcpu
  readonly cpu: Vcpu
  devices: Devices = new Devices()
  readonly transport: Transport
  #far: Far | undefined
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
  /** Guest frames that are ROM. */
  readonly rom = new Set<number>()
  /** Stores to those, which the board has heard of: address, size and data. */
  readonly romStores: string[] = []
  /** Interrupts that the processor has taken. */
  taken = 0
  /** Interrupts that are to come up once the current one has been taken. */
  #more = 0
  /** States to begin an instruction with: by mode, with an empty and with a full x87 stack. */
  readonly #states: Uint8Array[][] = []
  #seed = 1

  /** A machine whose devices are there. */
  static async make(transport: Transport): Promise<ChaosMachine> {
    const machine = new ChaosMachine(transport)
    if (transport === 'Worker') machine.#far = await inWorker(machine.domain)
    else if (transport === 'socket') machine.#far = await bySocket(machine.domain)
    if (machine.#far !== undefined) machine.devices = machine.#far.devices
    return machine
  }

  private constructor(transport: Transport) {
    this.transport = transport
    const memory = MachineMemory.create({ bytes: 14 << 20 })
    this.memory = memory
    this.domain = new Domain({
      memory,
      vcpus: 1,
      clock: new DeterministicClock(),
      random: () => (this.#seed = (this.#seed * 1_103_515_245 + 12_345) >>> 0),
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
    if (transport === 'at once') this.domain.attach(this.devices.model())
    else if (transport === 'promise') {
      const later = <T>(value: T): Promise<T> =>
        new Promise((resolve) => {
          this.answer = () => resolve(value)
        })
      this.domain.attach(this.devices.model(later))
    }
    for (const mode of MODES) {
      this.cpu.reset(true)
      this.cpu.load(initialState(mode))
      const saved = saveVcpu(this.cpu)
      const states = ['0xff', '0x0'].map((empty) => {
        restoreVcpu(this.cpu, {
          ...saved,
          registers: { ...saved.registers, ...ENTRY_POINTS, xcr0: '0x7' },
          x87: { ...saved.x87, control: '0x37f', empty, mxcsr: '0x1f80' },
        })
        this.cpu.u32[S_PDPTE >>> 2] = mode.paging === 'pae' ? PDPTE_0 : 0
        return this.cpu.u8.slice()
      })
      this.#states.push(states)
    }
    this.domain.romWrite = (gpa, size, lo, hi) =>
      void this.romStores.push(`${size} at ${gpa.toString(16)}, ${hi.toString(16)}:${lo.toString(16)}`)
    const apic = this.domain.interrupts.localApic(0)
    apic.write(SPURIOUS_VECTOR, 0x1ff)
    const acknowledge = this.vcpu.acknowledgeInterrupt.bind(this.vcpu)
    this.vcpu.acknowledgeInterrupt = () => {
      const vector = acknowledge()
      if (vector < 0) return vector
      this.taken++
      // Handlers are an instruction long.
      apic.write(END_OF_INTERRUPT, 0)
      if (this.#more > 0) this.interrupt(vector, this.#more)
      return vector
    }
  }

  /** Ends what runs the devices. */
  async close(): Promise<void> {
    await this.#far?.close()
  }

  /** The state that an instruction begins with; general and vector registers are the caller's. */
  begin(mode: number, fullX87: boolean): void {
    this.cpu.u8.set((this.#states[mode] as Uint8Array[])[fullX87 ? 1 : 0] as Uint8Array)
    this.#seed = 1
    this.vcpu.controlChanged()
    this.cpu.flushTlb(true)
    this.cpu.modeChanged()
  }

  /** Makes a frame of RAM ROM, or RAM again. */
  setRom(gfn: number, rom: boolean): void {
    if (this.rom.has(gfn) === rom) return
    if (rom) this.rom.add(gfn)
    else this.rom.delete(gfn)
    this.restoreFrame(gfn)
  }

  /** Maps a frame of RAM as it should be. */
  restoreFrame(gfn: number): void {
    const type = this.rom.has(gfn) ? P2mType.RAM_RO : P2mType.RAM_RW
    this.quietly(() => this.domain.p2m.insert(gfn, this.firstFrame + gfn, 0, type))
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

  /**
   * Raises interrupts, which wake nobody who waits for something else.
   *
   * @param count - how many, one after the other
   */
  interrupt(vector: number, count = 1): void {
    this.#more = count - 1
    if (count > 0) this.quietly(() => this.domain.interrupts.signalMsi(0xfee0_0000, vector))
  }

  /** Does what wakes a vCPU that waits for nothing in particular. */
  quietly(action: () => void): void {
    const { woken } = this
    action()
    this.woken = woken
  }

  /**
   * RAM has left the guest and come back: the vCPU does not go on before all device models have let go of it.
   *
   * @returns whether a notice was sent
   */
  async acknowledged(): Promise<boolean> {
    const { invalidations } = this.domain
    if (!invalidations.flagged(0)) return false
    while (!invalidations.resume(0)) await this.settle()
    if (invalidations.unsettled > 0) throw new Error(`${invalidations.unsettled} runs of frames are held`)
    return true
  }

  /** Takes back an interrupt that has not been taken. */
  endInterrupts(): void {
    const apic = this.domain.interrupts.localApic(0)
    if (apic.hasInterrupt()) apic.acknowledge()
    apic.write(END_OF_INTERRUPT, 0)
    this.cpu.setInterruptPending(false)
  }

  /** Drives the device until the vCPU may go on. */
  async settle(): Promise<void> {
    this.#far?.open?.(true)
    for (let tick = 0; !this.woken; tick++) {
      if (tick > 100_000) throw new Error('the device has not answered')
      if (this.#far !== undefined) {
        await this.#far.wait()
        continue
      }
      const { answer } = this
      this.answer = undefined
      answer?.()
      await Promise.resolve()
    }
    this.woken = false
    this.#far?.open?.(false)
  }

  /** Whether devices answer only when that is settled: until then a waiting vCPU can look again, in vain. */
  get held(): boolean {
    return this.transport === 'promise' || this.transport === 'Worker'
  }
}

async function inWorker(domain: Domain): Promise<Far> {
  const buffer = new SharedArrayBuffer(DEVICES_BYTES)
  const devices = new Devices(buffer)
  const transport = startDeviceWorker(domain.dispatch, domain.platform, {
    name: 'far',
    modules: [],
    program: new URL('device-worker.ts', import.meta.url),
    data: buffer,
    realTime: false,
  })
  const watched = transport.watch()
  await transport.remote.ready
  return {
    devices,
    // However fast it is, the vCPU looks first.
    open: (open) => void (devices.open = open),
    wait: async () => {
      // The Worker's end comes by the event loop.
      if (!transport.waitSync(20)) await new Promise((resolve) => setImmediate(resolve))
    },
    close: async () => {
      devices.open = true
      transport.close()
      await watched
    },
  }
}

/** Devices behind a Unix socket; in this process, so that their log is at hand. */
async function bySocket(domain: Domain): Promise<Far> {
  const devices = new Devices()
  const address = { path: join(tmpdir(), `retrap-chaos-${process.pid}-${Math.random().toString(36).slice(2)}.sock`) }
  const listener = await DeviceListener.listen(domain.dispatch, domain.platform, {
    address,
    token: 'chaos',
    realTime: false,
  })
  const accepted = listener.accept()
  const client = await connectDevices({ address, token: 'chaos', name: 'far' }, (server) =>
    server.attach(devices.model((value) => Promise.resolve(value))),
  )
  const { remote } = await accepted
  await remote.ready
  return {
    devices,
    wait: () => new Promise((resolve) => void setImmediate(resolve)),
    close: async () => {
      await listener.close()
      client.close()
    },
  }
}
