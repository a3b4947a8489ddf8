import { DeterministicClock, type HvmError, X86Domain, type X86Vcpu } from '../../src/index.ts'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectDeviceServer, serveDevices, startDeviceWorker } from '@retrap/device-hosting/node'
import { MachineMemory } from '@retrap/memory'
import { P2mType } from '@retrap/p2m'
import type { IoreqServer } from '@retrap/ioreq'
import type { InterruptFabricState } from '@retrap/irqchip'
import { loadInstructions, restoreVcpu, type SavedCpu, saveVcpu, type Vcpu } from '@retrap/x86-cpu'
import { TEST_JIT } from '@retrap/tooling/jit'
import type { Choices } from './corpus.ts'
import { Devices, DEVICES_BYTES, type SavedDevices } from './devices.ts'
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
const APIC_ENABLED = 0x1ff
/** Host time that devices have to let a snapshot be taken. */
const SETTLE_MS = 20_000
const END_OF_INTERRUPT = 0xb0

/** Bytes of the state that all processors have. */
const STATE_BYTES = 0x1000
/** After reset. */
const SMBASE = 0x3_0000
const SMRAM_BYTES = 0x1_0000
const SMI_HANDLER = 0x8000

/** A machine between two instructions. */
export interface SavedMachine {
  readonly cpu: SavedCpu
  readonly interrupts: InterruptFabricState
  readonly ram: Uint8Array
  readonly devices: SavedDevices
  readonly rom: readonly number[]
  readonly romStores: readonly string[]
  /** Interrupts: taken, and to come. */
  readonly taken: number
  readonly more: number
  readonly bootstrap: boolean
  readonly seed: number
}

/** A way to devices that are elsewhere. */
interface Far {
  readonly devices: Devices
  readonly server: IoreqServer
  /** Lets answers come, or keeps them. */
  open(open: boolean): void
  /** Waits for what they have to say. */
  wait(): Promise<void>
  close(): Promise<void>
}

/** A domain with one vCPU that is driven by hand. */
export class ChaosMachine {
  readonly domain: X86Domain
  readonly vcpu: X86Vcpu
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
  /** Let the device answer the accesses that wait, the first first: more than one only where something is wrong. */
  readonly #answers: (() => void)[] = []
  /** Guest frames that are ROM. */
  readonly rom = new Set<number>()
  /** Stores to those, which the board has heard of: address, size and data. */
  readonly romStores: string[] = []
  taken = 0
  /** Interrupts that are to come up once the current one has been taken. */
  #more = 0
  #bootstrap = true
  /** Guest frames that a pager keeps. */
  readonly #pagedOut = new Set<number>()
  /** States to begin an instruction with: by mode, with an empty and with a full x87 stack. */
  readonly #states: Uint8Array[][] = []
  #seed = 1

  /** A machine whose devices are there. */
  static async make(transport: Transport, choices: Choices = 'max'): Promise<ChaosMachine> {
    const cpu = choices === 'max' ? 'max' : 'everything'
    await loadInstructions(cpu)
    const machine = new ChaosMachine(transport, cpu)
    if (transport === 'Worker') machine.#far = await inWorker(machine.domain)
    else if (transport === 'socket') machine.#far = await bySocket(machine.domain)
    if (machine.#far !== undefined) machine.devices = machine.#far.devices
    return machine
  }

  private constructor(transport: Transport, cpu: string) {
    this.transport = transport
    const memory = MachineMemory.create({ bytes: 14 << 20 })
    this.memory = memory
    this.domain = new X86Domain({
      memory,
      ...{ vcpus: 1, cpu },
      clock: stoppedClock(),
      random: () => (this.#seed = (this.#seed * 1_103_515_245 + 12_345) >>> 0),
      sleeper: { sleep: () => turn(), wake: () => void (this.woken = true) },
      codeCacheBytes: 3 << 20,
      jit: TEST_JIT,
    })
    this.firstFrame = memory.frames.tryAllocate(9)
    this.domain.p2m.insertRange(0, this.firstFrame, RAM_BYTES / 0x1000, P2mType.RAM_RW)
    this.#addSmram()
    const base = this.firstFrame * 0x1000
    this.ram = memory.u8.subarray(base, base + RAM_BYTES)
    this.view = new DataView(memory.buffer, base, RAM_BYTES)
    this.vcpu = this.domain.vcpus[0] as X86Vcpu
    this.cpu = this.vcpu.cpu
    if (transport === 'at once') this.domain.attach(this.devices.model())
    else if (transport === 'promise') {
      const later = <T>(value: T): Promise<T> =>
        new Promise((resolve) => {
          this.#answers.push(() => resolve(value))
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
          registers: { ...saved.registers, ...ENTRY_POINTS, xcr0: cpu === 'max' ? '0x7' : '0xe02e7' },
          x87: { ...saved.x87, control: '0x37f', empty, mxcsr: '0x1f80' },
        })
        this.cpu.registers.pdptes[0] = mode.paging === 'pae' ? PDPTE_0 : 0
        return this.cpu.u8.slice()
      })
      this.#states.push(states)
    }
    this.domain.romWrite = (gpa, size, lo, hi) =>
      void this.romStores.push(`${size} at ${gpa.toString(16)}, ${hi.toString(16)}:${lo.toString(16)}`)
    this.enableApic()
    const apic = this.domain.interrupts.localApic(0)
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

  /** Memory at SMBASE that system-management mode alone sees, with a handler that ends at once. */
  #addSmram(): void {
    const smram = this.memory.allocate(SMRAM_BYTES, 0x1000, 'SMRAM')
    // RSM.
    this.memory.write(smram + SMI_HANDLER, Uint8Array.of(0x0f, 0xaa))
    this.domain.systemManagementMemory = {
      machineAddress: (gpa) => (gpa >= SMBASE && gpa < SMBASE + SMRAM_BYTES ? smram + gpa - SMBASE : -1),
    }
  }

  /** Ends what runs the devices. */
  async close(): Promise<void> {
    await this.#far?.close()
  }

  /** The state that an instruction begins with; general and vector registers are the caller's. */
  begin(mode: number, fullX87: boolean): void {
    this.setState((this.#states[mode] as Uint8Array[])[fullX87 ? 1 : 0] as Uint8Array)
  }

  /** Gives what an instruction begins with registers of AVX-512, APX and AMX, by their names in a saved state. */
  extend(mode: number, extended: Readonly<Record<string, string>>): void {
    this.#states[mode] = this.#states[mode]!.map((state) => {
      this.setState(state)
      restoreVcpu(this.cpu, { ...saveVcpu(this.cpu), extended })
      return this.cpu.u8.slice()
    })
  }

  /** Sets the processor's whole state. */
  setState(state: Uint8Array): void {
    const { u8, registers } = this.cpu
    const extended = registers.parts.at(-1)!.byteOffset - u8.byteOffset
    // Between them are words about its own translations and code, which another state knows nothing of.
    u8.set(state.subarray(0, STATE_BYTES))
    u8.set(state.subarray(extended), extended)
    this.#seed = 1
    this.vcpu.controlChanged()
    this.cpu.flushTlb(true)
    this.cpu.modeChanged()
  }

  /** Whether the processor is the bootstrap processor: its state is to be set next. */
  set bootstrap(bootstrap: boolean) {
    if (bootstrap !== this.#bootstrap) this.cpu.reset(bootstrap)
    this.#bootstrap = bootstrap
  }

  /** As software has to after INIT and reset. */
  enableApic(): void {
    this.domain.interrupts.localApic(0).write(SPURIOUS_VECTOR, APIC_ENABLED)
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
    return this.cpu.registers.parts
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

  /** Drives the device, and the pager, until the vCPU may go on. */
  settle(): Promise<void> {
    if (this.waitsForMemory) this.pageIn()
    return this.#drive(() => this.woken)
  }

  /** Drives the device until the late answer to a cancelled request has come. */
  drain(): Promise<void> {
    return this.#drive(() => !this.draining)
  }

  async #drive(done: () => boolean): Promise<void> {
    const far = this.#far
    far?.open(true)
    for (let tick = 0; !done(); tick++) {
      if (tick > 100_000) throw new Error('the device has not answered')
      await (far === undefined ? this.#letAnswer() : far.wait())
    }
    this.woken = false
    far?.open(false)
  }

  #letAnswer(): Promise<void> {
    this.#answers.shift()?.()
    return Promise.resolve()
  }

  /** Waits until the devices have heard of an access, which they may not answer yet. */
  async hears(logged: number): Promise<void> {
    for (let tick = 0; this.devices.logged <= logged; tick++) {
      if (tick > 100_000) throw new Error('the device has not heard of its access')
      await turn()
    }
  }

  get #server(): IoreqServer {
    return this.#far?.server ?? this.domain.devices.server
  }

  /** Whether the late answer to a cancelled request is still to come. */
  get draining(): boolean {
    return this.#server.draining[0] !== 0
  }

  /** A pager takes a frame. */
  pageOut(gfn: number): void {
    if (this.domain.p2m.translateWrite(gfn * 0x1000) < 0) return
    this.#pagedOut.add(gfn)
    this.domain.secondLevel.onPageRequest = () => undefined
    this.quietly(() => this.domain.p2m.paging.nominate(gfn))
  }

  /** Whether a pager has a frame. */
  isPagedOut(gfn: number): boolean {
    return this.#pagedOut.has(gfn)
  }

  /** Whether the processor waits for a frame, and for no device. */
  get waitsForMemory(): boolean {
    return this.domain.secondLevel.waits(0)
  }

  /** It gives all back. */
  pageIn(): void {
    for (const gfn of this.#pagedOut) this.domain.p2m.paging.resume(gfn)
    this.#pagedOut.clear()
  }

  /** The machine when the instruction that waits has retired, by {@link Domain.settle}: no device is asked twice. */
  async save(): Promise<SavedMachine> {
    // With no time to answer in, nothing is changed.
    if (this.cpu.busy && !this.waitsForMemory) {
      const { code } = await this.domain.settle(0).then(
        () => ({ code: 'settled' }),
        (error: unknown) => error as HvmError,
      )
      if (code !== 'ERR_PENDING') throw new Error(`a machine whose device has not answered: ${code}`)
    }
    const far = this.#far
    far?.open(true)
    let settled = false
    const settling = this.domain.settle(SETTLE_MS).finally(() => (settled = true))
    while (!settled) {
      this.pageIn()
      if (far === undefined) await this.#letAnswer()
      await turn()
    }
    await settling
    far?.open(false)
    this.woken = false
    return {
      cpu: JSON.parse(JSON.stringify(saveVcpu(this.cpu))) as SavedCpu,
      interrupts: JSON.parse(JSON.stringify(this.domain.interrupts.save())) as InterruptFabricState,
      ram: this.ram.slice(),
      devices: this.devices.save(),
      rom: [...this.rom],
      romStores: [...this.romStores],
      taken: this.taken,
      more: this.#more,
      bootstrap: this.#bootstrap,
      seed: this.#seed,
    }
  }

  /** Goes on where another has been saved. */
  async restore(saved: SavedMachine): Promise<void> {
    this.quietly(() => this.domain.reset())
    this.#bootstrap = true
    this.bootstrap = saved.bootstrap
    for (const gfn of this.rom) if (!saved.rom.includes(gfn)) this.setRom(gfn, false)
    for (const gfn of saved.rom) this.setRom(gfn, true)
    this.ram.set(saved.ram)
    this.codeHasChanged()
    this.devices.restore(saved.devices)
    this.romStores.splice(0, Infinity, ...saved.romStores)
    this.quietly(() => this.domain.interrupts.restore(saved.interrupts))
    restoreVcpu(this.cpu, saved.cpu)
    this.taken = saved.taken
    this.#more = saved.more
    this.#seed = saved.seed
    await this.acknowledged()
  }

  /** Whether devices answer only when that is settled: until then a waiting vCPU can look again, in vain. */
  get held(): boolean {
    return this.transport !== 'at once'
  }
}

/** Time that stands still: one machine executes parts of what the other does by its domain, which would have it pass. */
function stoppedClock(): DeterministicClock {
  const clock = new DeterministicClock()
  clock.advance = () => undefined
  return clock
}

/** A turn of the event loop. */
function turn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve))
}

async function inWorker(domain: X86Domain): Promise<Far> {
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
  domain.addServer({ remote: transport.remote, close: () => undefined })
  return {
    devices,
    server: transport.remote.server,
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
async function bySocket(domain: X86Domain): Promise<Far> {
  const devices = new Devices()
  const address = { path: join(tmpdir(), `retrap-chaos-${process.pid}-${Math.random().toString(36).slice(2)}.sock`) }
  const gate = { open: false, opened: (): void => undefined, closed: Promise.resolve() }
  const later = async <T>(value: T): Promise<T> => {
    if (!gate.open) await gate.closed
    return value
  }
  const token = 'chaos'
  const service = await serveDevices({ address, token }, (server) => server.attach(devices.model(later)))
  const { remote } = await connectDeviceServer(domain.dispatch, domain.platform, {
    ...{ address, token, name: 'far', realTime: false },
  })
  await remote.ready
  domain.addServer({ remote, close: () => undefined })
  const open = (wide: boolean): void => {
    gate.open = wide
    if (wide) gate.opened()
    else gate.closed = new Promise((resolve) => void (gate.opened = resolve))
  }
  open(false)
  return { devices, server: remote.server, open, wait: turn, close: () => service.close() }
}
