import { defineDevice } from '@retrap/device'
import { MachineMemory } from '@retrap/memory'
import { INVALID_MFN, P2mEntry, P2mError, P2mType, type FrameCounts, type P2m } from '@retrap/p2m'
import type { Rng } from '@retrap/tooling/soak'
import { Assembler, dword, eax, ebp, ebx, ecx, edi, esi } from '@retrap/x86-assembler'
import { RealClock, X86Domain, OUTSIDE, type X86Vcpu, type Sleeper } from '@retrap/hvm'
import { TEST_JIT } from '@retrap/tooling/jit'
import { plugXen } from '../../src/index.ts'
import { PROTECTED } from '../support/guest.ts'
import { baseOf, BUFFERED } from './parties.ts'
import { Broken, Call, FIRST_GFN, FrameHistory, GFNS } from './witness.ts'
import { DEADLINE_MS } from './light-stage.ts'
import { SPARE, VCPUS, type Stage, type World } from './world.ts'

/** RAM that stays, beside the frames that change: the program, each vCPU's commands, their arguments, marks. */
const PROGRAM = 0x2_0000
const COMMANDS = 0x2_4000
const ARGUMENTS = 0x2_8000
const MARKS = 0x3_0000
const STACKS = 0x3_4000
const RAM_FRAMES = 0x20
/** A store here calls a handler that changes the map, in the middle of the instruction. */
const HANDLER = 0xf_0000
/** Commands of a vCPU, each of four words. */
const MOST = 12
const HYPERCALL = 1
const LOAD = 2
const STORE = 3
const MEMORY_OP = 12
const DOMID_SELF = 0x7ff0

/** A domain waits until the interleaving lets it go on. */
class Turns implements Sleeper {
  #go: (() => void) | null = null

  sleep(): Promise<void> {
    return new Promise((resolve) => (this.#go = resolve))
  }

  wake(): void {}

  give(): void {
    const go = this.#go
    this.#go = null
    go?.()
  }
}

/** Words of memory, as the guest's commands and arguments are written. */
class Words {
  readonly #memory: Uint32Array

  constructor(bytes: number) {
    this.#memory = new Uint32Array(bytes / 4)
  }

  put(at: number, ...words: readonly number[]): void {
    this.#memory.set(words, at / 4)
  }

  get bytes(): Uint8Array {
    return new Uint8Array(this.#memory.buffer)
  }
}

/** A change from outside, and how far each vCPU was. */
interface Outside {
  readonly call: Call
  readonly retired: readonly number[]
}

/**
 * A real domain: four vCPUs that execute hypercalls, stores and device accesses of their own, a command at a time. After
 * each a vCPU counts on in memory, and that is how one sees that its call has returned.
 */
export class DomainStage implements Stage {
  readonly memory: MachineMemory
  readonly domain: X86Domain
  readonly counts: FrameCounts
  readonly history: FrameHistory
  readonly p2m: P2m
  readonly dispatch: X86Domain['dispatch']
  free = 0
  readonly #turns = new Turns()
  #world: World | null = null
  #run: Promise<unknown> | null = null
  /** By vCPU: calls that have not returned, with what it had counted before. */
  readonly #calls: { readonly call: Call; readonly mark: number }[][] = Array.from({ length: VCPUS }, () => [])
  #outside: Outside[] = []
  /** Guest frames that vCPUs wait for, and what is to be done for them. */
  readonly #pageRequests = new Map<number, 'load' | 'resume'>()
  readonly #pages: Uint8Array[] = []
  #pagesUsed = 0
  #running = true

  static async make(): Promise<DomainStage> {
    const stage = new DomainStage()
    await stage.#takeAll()
    stage.free = stage.memory.frames.freeFrames
    return stage
  }

  private constructor() {
    const memory = MachineMemory.create({ bytes: (8 << 20) + VCPUS * (3584 << 10) })
    this.memory = memory
    this.domain = new X86Domain({
      memory,
      vcpus: VCPUS,
      // vCPUs go on while others wait, which deterministic time does not allow; and no time passes.
      clock: new RealClock(() => 0),
      random: () => 4,
      sleeper: this.#turns,
      codeCacheBytes: 1 << 20,
      jit: TEST_JIT,
      policy: 'detach',
      deviceDeadlineMs: DEADLINE_MS,
      onFailure: (failure) => this.#world?.failed(failure),
    })
    plugXen(this.domain, { maxFrames: 0x1000 })
    const { p2m, dispatch, frameCounts } = this.domain
    this.p2m = p2m
    this.dispatch = dispatch
    this.counts = frameCounts
    this.history = new FrameHistory(memory)
    p2m.populate(PROGRAM / 4096, RAM_FRAMES)
    p2m.populate(FIRST_GFN, GFNS)
    this.#program()
    this.domain.attach(
      defineDevice({
        name: 'handler',
        synchronous: true,
        mmio: { base: HANDLER, size: 4, write: () => this.#interrupted() },
      }),
    )
    // Where all else is taken, a frame that is given back is the next to be given away.
    while (memory.frames.freeFrames > SPARE) memory.frames.allocate()
    this.domain.secondLevel.onPageRequest = (gfn, how) => void this.#pageRequests.set(gfn, how)
    const create = dispatch.createServer.bind(dispatch)
    dispatch.createServer = (options) => create({ page: this.#newPage(), ringPage: this.#newPage(), ...options })
  }

  /** Servers' pages, which a domain takes for good. */
  #newPage(): { buffer: ArrayBuffer; byteOffset: number } {
    const page = (this.#pages[this.#pagesUsed++] ??= new Uint8Array(4096))
    page.fill(0)
    return { buffer: page.buffer as ArrayBuffer, byteOffset: 0 }
  }

  async #takeAll(): Promise<void> {
    await this.domain.changeMemory(() => {
      for (let gfn = FIRST_GFN; gfn < FIRST_GFN + GFNS; gfn++) this.#remove(gfn)
    })
  }

  #remove(gfn: number): void {
    const entry = new P2mEntry()
    const type = this.p2m.lookup(gfn, entry)
    if (entry.mfn >= 0) this.p2m.remove(gfn, entry.mfn)
    // What a pager has is nobody's any more.
    else if (type !== P2mType.MMIO_DM) this.p2m.insert(gfn, INVALID_MFN, 0, P2mType.MMIO_DM)
  }

  /** Works off commands: ESI is the next one, EBP where the vCPU counts them. */
  #program(): void {
    const asm = new Assembler({ bits: 32, address: PROGRAM })
    const [next, call, load, done, end] = [asm.label(), asm.label(), asm.label(), asm.label(), asm.label()]
    asm.bind(next).mov(eax, dword(esi)).test(eax, eax).jz(end)
    asm.cmp(eax, HYPERCALL).jz(call).cmp(eax, LOAD).jz(load)
    asm
      .mov(edi, dword(esi, { disp: 4 }))
      .mov(ebx, dword(esi, { disp: 8 }))
      .mov(dword(edi), ebx)
      .jmp(done)
    asm
      .bind(call)
      .mov(ebx, dword(esi, { disp: 4 }))
      .mov(ecx, dword(esi, { disp: 8 }))
    asm.push(esi).mov(eax, MEMORY_OP).vmcall().pop(esi).jmp(done)
    asm
      .bind(load)
      .mov(edi, dword(esi, { disp: 4 }))
      .mov(ebx, dword(edi))
    asm.bind(done).add(dword(ebp), 1).add(esi, 16).jmp(next)
    asm.bind(end).hlt().jmp(end)
    this.domain.guestMemory.load(PROGRAM, asm.assemble().bytes)
  }

  begin(world: World): ReturnType<Stage['begin']> {
    this.#world = world
    const { domain } = this
    domain.reset()
    this.history.freed.fill(0)
    this.#pagesUsed = 0
    world.map.caller = () => this.#callOf(domain.invalidations.actor)
    domain.guestMemory.load(MARKS, new Uint8Array(VCPUS * 4))
    for (const vcpu of domain.vcpus) {
      this.#calls[vcpu.id]!.length = 0
      this.#commands(world.rng, vcpu)
    }
    this.#outside = []
    this.#pageRequests.clear()
    return {
      invalidations: domain.invalidations,
      changes: { request: (change) => domain.requestMemoryChange(change), stopped: () => undefined },
    }
  }

  /** Gives a vCPU something to do. */
  #commands(rng: Rng, { id, cpu }: X86Vcpu): void {
    const commands = new Words(0x100)
    const list = new Words(0x1000)
    for (let i = 0; i < MOST; i++) {
      const at = i * 16
      const gfn = rng.below(GFNS) + FIRST_GFN
      switch (rng.below(8)) {
        case 0:
          commands.put(at, LOAD, baseOf(rng.below(4)) + rng.below(2) * 0x1000)
          break
        case 1:
          commands.put(at, STORE, baseOf(rng.below(4)) + BUFFERED, 0xffff_ff00 + gfn - FIRST_GFN)
          break
        case 2:
          commands.put(at, STORE, HANDLER, gfn)
          break
        case 3:
          commands.put(at, STORE, gfn * 0x1000 + 0x100 + id * 4, i)
          break
        default:
          commands.put(at, HYPERCALL, ...this.#hypercall(rng, list, ARGUMENTS + id * 0x1000, i * 0x100, gfn))
      }
    }
    commands.put(MOST * 16, 0)
    this.domain.guestMemory.load(ARGUMENTS + id * 0x1000, list.bytes)
    this.domain.guestMemory.load(COMMANDS + id * 0x1000, commands.bytes)
    cpu.reset(true)
    const registers = { rip: PROGRAM, rsp: STACKS + (id + 1) * 0x1000, rflags: 2 }
    cpu.load({ ...PROTECTED, registers: { ...registers, rsi: COMMANDS + id * 0x1000, rbp: MARKS + id * 4 } })
  }

  /** Arguments of `memory_op` (public header memory.h, as 32-bit guests have them): its command, and where they are. */
  #hypercall(rng: Rng, list: Words, base: number, at: number, gfn: number): [command: number, pointer: number] {
    const count = Math.min(rng.between(1, 3), FIRST_GFN + GFNS - gfn)
    const frames = Array.from({ length: count }, (_, i) => gfn + i)
    const pointer = base + at
    const extents = pointer + 0x80
    list.put(at + 0x80, ...frames)
    switch (rng.below(5)) {
      case 0:
        // populate_physmap: extents, how many, order, flags, domain
        list.put(at, extents, count, 0, 0, DOMID_SELF)
        return [6, pointer]
      case 1:
        // add_to_physmap: domain, XENMAPSPACE_gmfn, from, to
        list.put(at, DOMID_SELF, 2, gfn, rng.below(GFNS) + FIRST_GFN)
        return [7, pointer]
      case 2:
        // exchange: two reservations, and how many have been
        list.put(at, extents, count, 0, 0, DOMID_SELF, extents, count, 0, 0, DOMID_SELF, 0)
        return [11, pointer]
      case 3:
        // remove_from_physmap: domain, frame
        list.put(at, DOMID_SELF, gfn)
        return [15, pointer]
      default:
        list.put(at, extents, count, 0, 0, DOMID_SELF)
        return [1, pointer]
    }
  }

  #mark(vcpu: number): number {
    const bytes = new Uint8Array(4)
    this.domain.guestMemory.read(MARKS + vcpu * 4, bytes)
    return bytes[0] as number
  }

  /** A call whose doing a change of the map is. */
  #callOf(actor: number): Call {
    const at = this.#world?.at ?? 0
    if (actor === OUTSIDE) {
      const call = new Call('somebody', at)
      this.changedFromOutside(call)
      return call
    }
    const call = new Call(`vCPU ${actor}`, at)
    this.#calls[actor]?.push({ call, mark: this.#mark(actor) })
    return call
  }

  changedFromOutside(call: Call): void {
    // One that was in the middle of an instruction comes to the end of that.
    const retired = this.domain.vcpus.map(({ cpu }) => cpu.retired + (cpu.busy ? 1 : 0))
    this.#outside.push({ call, retired })
  }

  expire(): void {
    this.dispatch.requests.expire(performance.now() + DEADLINE_MS)
  }

  look(): void {
    const { vcpus } = this.domain
    const map = this.#world?.map
    for (const { id } of vcpus) {
      const calls = this.#calls[id] ?? []
      const mark = this.#mark(id)
      while (calls.length > 0 && (calls[0] as { mark: number }).mark < mark) {
        map?.returned((calls.shift() as { call: Call }).call)
      }
    }
    this.#outside = this.#outside.filter(({ call, retired }) => {
      if (vcpus.every(({ id, cpu }) => cpu.retired <= (retired[id] as number))) return true
      map?.returned(call)
      return false
    })
  }

  /** A store that reaches a handler which asks for a change of the map. */
  #interrupted(): void {
    const world = this.#world
    if (world === null) return
    const mfns = world.map.mfns.slice()
    const { text, make } = world.randomChange('a handler')
    world.rng.note(`${world.at}`, text)
    world.changes.request(() => world.fromOutside(make())).catch((error: unknown) => (world.broken ??= error))
    if (mfns.some((mfn, i) => mfn !== world.map.mfns[i])) {
      world.broken ??= new Broken('the map has changed in the middle of an instruction')
    }
  }

  /** The pager's turn: it tries again later where there is no frame. */
  #page(): void {
    const { paging } = this.p2m
    for (const [gfn, how] of this.#pageRequests) {
      try {
        if (how === 'load') paging.prepare(gfn, new Uint8Array(4096))
        paging.resume(gfn)
      } catch (error) {
        if (!(error instanceof P2mError)) throw error
        if (error.code === 'ERR_NO_MEMORY') continue
      }
      this.#pageRequests.delete(gfn)
    }
  }

  turn(): string | undefined {
    if (!this.#running) return undefined
    this.#page()
    const before = this.#marks()
    this.#run ??= this.domain.run()
    this.#turns.give()
    return `the vCPUs run on from ${before}`
  }

  #marks(): string {
    return this.domain.vcpus.map(({ id }) => this.#mark(id)).join(' ')
  }

  rest(): void {
    this.turn()
  }

  cancel(): undefined {
    return undefined
  }

  setRunning(running: boolean): void {
    if (running === this.#running) return
    this.#running = running
    if (running || this.#run === null) return
    this.domain.stop({ reason: 'stopped' })
    this.#turns.give()
    this.#run = null
  }

  waiting(): string | undefined {
    const one = this.domain.vcpus.find(({ id }) => this.#mark(id) < MOST)
    return one === undefined ? undefined : `vCPU ${one.id}, at its command ${this.#mark(one.id)},`
  }

  async end(): Promise<void> {
    this.setRunning(false)
    for (let i = 0; i < 20; i++) await Promise.resolve()
    await this.#takeAll()
    if (this.#world !== null) this.#world.map.caller = null
    this.#world = null
    this.#running = true
  }
}
