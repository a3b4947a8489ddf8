/**
 * Programs that do to the task priority register what kernels do, and more: every form of access, interrupts by the
 * processor itself, by others and by a device, handlers that raise the priority, nest and send on. What they see goes to
 * a log: priorities, vectors in their order, registers and flags.
 */
import { DebugExit } from '@retrap/devices'
import { defineDevice, type DeviceContext, type DeviceModel } from '@retrap/device'
import type { Rng } from '@retrap/tooling/soak'
import * as x86 from '@retrap/x86-assembler'
import { singleSteps } from './single-steps.ts'
import { createPc, type MachineExit, type Pc, type PcOptions } from '@retrap/machine'
import { TEST_JIT } from '@retrap/tooling/jit'
import * as K from './kernel.ts'

/** What a processor does, one after another. */
export type Op =
  /** MOV from EAX by its short form, from the register of this number, or of an immediate. */
  | { readonly kind: 'write'; readonly form: 'a3' | 'c7' | number; readonly value: number }
  /** MOV to EAX by its short form, to the register of this number, or PUSH. */
  | { readonly kind: 'read'; readonly form: 'a1' | 'push' | number }
  /** Accesses that no patch is there for. */
  | { readonly kind: 'other'; readonly form: (typeof OTHERS)[number]; readonly value: number }
  /** Interrupts to itself, one after another. */
  | { readonly kind: 'self'; readonly vectors: readonly number[] }
  /** Up to four from a device, at once. */
  | { readonly kind: 'device'; readonly vectors: readonly number[] }
  /** Each processor sends one to the next; all of them do this at once. */
  | { readonly kind: 'cross'; readonly vector: number }
  | { readonly kind: 'interrupts'; readonly on: boolean }
  /** One to itself with interrupts off, and a write: what could be taken before it cannot afterwards, or the other way. */
  | { readonly kind: 'held'; readonly vector: number; readonly value: number }
  /** MOV of an immediate with ESP 0. */
  | { readonly kind: 'no-stack'; readonly value: number }
  /** MOV from EAX while FS is no KPCR. */
  | { readonly kind: 'no-kpcr'; readonly value: number }
  /** MOV of an immediate that lies in two pages. */
  | { readonly kind: 'crossing'; readonly value: number }

const OTHERS = ['cmp', 'and', 'or', 'movzx', 'xchg', 'mov8', 'esp'] as const

/** What the handler of a vector does. */
export interface Handling {
  /** Raises the priority to the vector's, as operating systems do, and lowers it again. */
  readonly raises: boolean
  /** Lets others come in between. */
  readonly nests: boolean
  /** Lowers the priority for a moment, with interrupts off. */
  readonly dips: boolean
  /** Sends this vector to its own processor; 0: none. */
  readonly sends: number
}

export interface Storm {
  /** By processor. */
  readonly programs: readonly (readonly Op[])[]
  /** How often each is run: the first time its instructions trap and are patched. */
  readonly rounds: number
  /** By vector − 32. */
  readonly handlings: readonly Handling[]
}

const FIRST_VECTOR = 0x31
const LAST_VECTOR = 0xef
/** Interrupts that handlers send in all. */
const SEND_BUDGET = 200
/** What tells entries of the log apart, in their top byte. */
export const LOG = { read: 1, interrupt: 2, priority: 3, leave: 4, flags: 5 } as const
const RAISES = 1
const NESTS = 2
const DIPS = 4
const FLAGS = 0x8d5
const FLAG_IF = 0x200
const REGISTERS = [x86.eax, x86.ecx, x86.edx, x86.ebx, x86.esp, x86.ebp, x86.esi, x86.edi] as const
/** Five of its bytes lie before the border. */
const CROSSING = K.linear(K.AT.window) + 0xffb
const address = [K.TPR & 255, (K.TPR >>> 8) & 255, (K.TPR >>> 16) & 255, K.TPR >>> 24] as const

export function randomStorm(rng: Rng, cpus: number): Storm {
  const vector = (): number => rng.between(FIRST_VECTOR, LAST_VECTOR)
  const vectors = (): number[] => Array.from({ length: rng.between(1, 4) }, vector)
  const value = (): number => (rng.chance(1, 4) ? 0 : rng.below(16) * 16 + (rng.chance(1, 4) ? rng.below(16) : 0))
  const length = rng.between(1, 30)
  const crossings = Array.from({ length: cpus > 1 ? rng.below(4) : 0 }, () => rng.below(length))
  const op = (): Op => {
    switch (rng.below(15)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return { kind: 'write', form: rng.pick(['a3', 'c7', 0, 1, 2, 3, 4, 5, 6, 7]), value: value() }
      case 4:
      case 5:
        return { kind: 'read', form: rng.pick(['a1', 'push', 0, 1, 2, 3, 5, 6, 7]) }
      case 6:
        return { kind: 'other', form: rng.pick(OTHERS), value: value() }
      case 7:
      case 8:
        return { kind: 'self', vectors: vectors() }
      case 9:
        return { kind: 'device', vectors: vectors() }
      case 10:
        return { kind: 'no-stack', value: value() }
      case 11:
        return rng.chance() ? { kind: 'no-kpcr', value: value() } : { kind: 'crossing', value: value() }
      case 12:
      case 13:
        return { kind: 'interrupts', on: rng.chance(2, 3) }
      default:
        return { kind: 'held', vector: vector(), value: value() }
    }
  }
  const programs = Array.from({ length: cpus }, () => {
    const ops = Array.from({ length }, op)
    for (const at of crossings) ops[at] = { kind: 'cross', vector: vector() }
    return ops
  })
  const handlings = Array.from({ length: 224 }, () => ({
    raises: rng.chance(3, 4),
    nests: rng.chance(),
    dips: rng.chance(1, 4),
    sends: rng.chance(1, 4) ? vector() : 0,
  }))
  return { programs, rounds: rng.between(1, 4), handlings }
}

/**
 * The kernel that runs a storm.
 *
 * @param steps - one instruction at a time, from the first entry of the log on: for a host that looks at each
 */
export function stormKernel({ programs, rounds, handlings }: Storm, steps = false): Uint8Array {
  const cpus = programs.length
  let check: x86.Label | undefined
  let table: x86.Label | undefined
  const labels = (asm: x86.Assembler): { check: x86.Label; table: x86.Label } => ({
    check: (check ??= asm.label()),
    table: (table ??= asm.label()),
  })
  return K.buildKernel({
    cpus,
    setup: ({ asm }) => emitCrossing(asm),
    main: (kernel, cpu) => {
      const { asm } = kernel
      const emitter = new Emitter(kernel, labels(asm).check, cpu, cpus)
      asm.mov(x86.dword(K.KPCR_BUDGET, { segment: x86.fs }), SEND_BUDGET)
      if (steps) {
        singleSteps(asm)
        kernel.log()
      }
      // A loop, so that the instructions are the same ones; its count is on the stack.
      asm.push(rounds)
      const again = asm.here()
      emitter.begin()
      for (const op of programs[cpu] ?? []) emitter.op(op)
      emitter.end()
      asm.dec(x86.dword(x86.esp)).jnz(again)
      asm.pop(x86.eax)
    },
    interrupt: (kernel, done) => emitInterrupt(kernel, labels(kernel.asm).table, done),
    extra: ({ asm, log }) => {
      emitCheck(asm, labels(asm).check, log)
      asm.align(4).bind(labels(asm).table)
      for (const { raises, nests, dips, sends } of handlings) {
        asm.dd((raises ? RAISES : 0) | (nests ? NESTS : 0) | (dips ? DIPS : 0), sends)
      }
    },
  })
}

/** Called with flags and PUSHAD on the stack: what an access must have left alone. */
function emitCheck(asm: x86.Assembler, label: x86.Label, log: () => void): void {
  asm.bind(label)
  // EDI ESI EBP ESP EBX EDX ECX EAX, above the return address.
  asm.mov(x86.eax, 0).mov(x86.ecx, 8)
  const sum = asm.here()
  asm.rol(x86.eax, 5).add(x86.eax, x86.dword(x86.esp, { index: x86.ecx, scale: 4 }))
  asm.dec(x86.ecx).jnz(sum)
  log()
  asm
    .mov(x86.eax, x86.dword(x86.esp, { disp: 36 }))
    .and(x86.eax, FLAGS)
    .or(x86.eax, LOG.flags << 24)
  log()
  asm.ret()
}

/** Raises, nests, sends on and lowers, as the table says. */
function emitInterrupt({ asm, log }: K.Kernel, table: x86.Label, done: x86.Label): void {
  asm.mov(x86.ebx, x86.dword(x86.esp, { disp: 32 }))
  asm.db(0xa1, ...address).mov(x86.edi, x86.eax)
  asm
    .mov(x86.edx, x86.ebx)
    .shl(x86.edx, 8)
    .or(x86.eax, x86.edx)
    .or(x86.eax, LOG.interrupt << 24)
  log()
  asm.mov(x86.eax, x86.dword(K.APIC + 0xa0)).or(x86.eax, LOG.priority << 24)
  log()
  asm.mov(x86.esi, x86.dword(table.plus(-32 * 8), { index: x86.ebx, scale: 8 }))
  const notRaised = asm.label()
  asm.test(x86.esi, RAISES).jz(notRaised)
  asm
    .mov(x86.ecx, x86.ebx)
    .and(x86.ecx, 0xf0)
    .db(0x89, 0x0d, ...address)
  asm.bind(notRaised)
  const notSent = asm.label()
  asm.mov(x86.eax, x86.dword(table.plus(-32 * 8 + 4), { index: x86.ebx, scale: 8 }))
  asm
    .test(x86.eax, x86.eax)
    .jz(notSent)
    .dec(x86.dword(K.KPCR_BUDGET, { segment: x86.fs }))
    .js(notSent)
  asm.or(x86.eax, 0x4_4000).mov(x86.dword(K.APIC + 0x300), x86.eax)
  asm.bind(notSent)
  const notDipped = asm.label()
  asm.test(x86.esi, DIPS).jz(notDipped)
  // PUSH, a lower one, and what was pushed.
  asm.db(0xff, 0x35, ...address).db(0xc7, 0x05, ...address, 0, 0, 0, 0)
  asm.pop(x86.eax).db(0xa3, ...address)
  asm.bind(notDipped)
  const notNested = asm.label()
  asm.test(x86.esi, NESTS).jz(notNested).sti().nop().nop().cli()
  asm.bind(notNested)
  const notLowered = asm.label()
  asm.test(x86.esi, RAISES).jz(notLowered)
  asm.mov(x86.eax, x86.edi).db(0xa3, ...address)
  asm.bind(notLowered)
  asm
    .db(0x8b, 0x15, ...address)
    .mov(x86.eax, x86.ebx)
    .shl(x86.eax, 8)
    .or(x86.eax, x86.edx)
    .or(x86.eax, LOG.leave << 24)
  log()
  asm.jmp(done)
}

/** Writes a processor's program. */
class Emitter {
  readonly #kernel: K.Kernel
  readonly #asm: x86.Assembler
  readonly #check: x86.Label
  readonly #cpu: number
  readonly #cpus: number
  #on = false
  #sites = 0

  constructor(kernel: K.Kernel, check: x86.Label, cpu: number, cpus: number) {
    this.#kernel = kernel
    this.#asm = kernel.asm
    this.#check = check
    this.#cpu = cpu
    this.#cpus = cpus
  }

  begin(): void {
    this.#on = false
  }

  /** Everything that waits comes. */
  end(): void {
    this.#asm
      .db(0xc7, 0x05, ...address, 0, 0, 0, 0)
      .sti()
      .nop()
      .nop()
      .cli()
  }

  op(op: Op): void {
    const asm = this.#asm
    switch (op.kind) {
      case 'write':
        return this.#write(op.form, op.value)
      case 'read':
        return this.#read(op.form)
      case 'other':
        return this.#other(op.form, op.value)
      case 'self':
        for (const vector of op.vectors) asm.mov(x86.dword(K.APIC + 0x300), 0x4_4000 | vector)
        return
      case 'device':
        asm.mov(x86.dx, K.STORM_PORT + 4 * this.#cpu).mov(
          x86.eax,
          op.vectors.reduce((word, vector, i) => (word | (vector << (8 * i))) >>> 0, 0),
        )
        asm.out(x86.dx, x86.eax)
        return
      case 'cross':
        return this.#cross(op.vector)
      case 'interrupts':
        // What comes after STI must not be in its shadow: a patch is two instructions.
        if (op.on) asm.sti().nop()
        else asm.cli()
        this.#on = op.on
        return
      case 'held':
        this.#quietly(() => {
          asm.mov(x86.dword(K.APIC + 0x300), 0x4_4000 | op.vector)
          asm.db(0xc7, 0x05, ...address, op.value, 0, 0, 0)
        })
        return
      case 'no-stack':
        this.#quietly(() => {
          asm.mov(x86.ebp, x86.esp).xor(x86.esp, x86.esp)
          asm.db(0xc7, 0x05, ...address, op.value, 0, 0, 0).mov(x86.esp, x86.ebp)
        })
        return
      case 'no-kpcr':
        this.#quietly(() => {
          asm.mov(x86.ebx, x86.fs).push(x86.ebx).mov(x86.eax, K.NO_KPCR_SELECTOR).mov(x86.fs, x86.ax)
          asm.mov(x86.eax, op.value).db(0xa3, ...address)
          asm.pop(x86.ebx).mov(x86.fs, x86.ebx)
        })
        return
      case 'crossing':
        return this.#crossing(op.value)
    }
  }

  /** Without interrupts: the handlers need what is not there. */
  #quietly(body: () => void): void {
    if (this.#on) this.#asm.cli()
    body()
    if (this.#on) this.#asm.sti().nop()
  }

  /** Registers and flags that an access is to leave alone. */
  #prepare(): void {
    const asm = this.#asm
    const seed = ++this.#sites * 0x9e37_79b1
    REGISTERS.forEach((register, i) => {
      if (register !== x86.esp) asm.mov(register, (seed + i * 0x1234_5679) >>> 0)
    })
    asm.push((seed & FLAGS) | 2 | (this.#on ? FLAG_IF : 0)).popfd()
  }

  #compare(): void {
    this.#asm.pushfd().pushad().call(this.#check).popad().popfd()
  }

  #write(form: 'a3' | 'c7' | number, value: number): void {
    const asm = this.#asm
    this.#prepare()
    if (form === 'c7') asm.db(0xc7, 0x05, ...address, value, 0, 0, 0)
    else {
      const register = REGISTERS[form === 'a3' ? 0 : form]
      if (register !== undefined && register !== x86.esp) asm.mov(register, value)
      if (form === 'a3') asm.db(0xa3, ...address)
      else asm.db(0x89, 5 | (form << 3), ...address)
    }
    this.#compare()
  }

  #read(form: 'a1' | 'push' | number): void {
    const asm = this.#asm
    this.#prepare()
    if (form === 'push') {
      asm.db(0xff, 0x35, ...address)
      this.#compare()
      asm.pop(x86.eax)
    } else {
      if (form === 'a1') asm.db(0xa1, ...address)
      else asm.db(0x8b, 5 | (form << 3), ...address)
      this.#compare()
      if (form !== 'a1') asm.mov(x86.eax, REGISTERS[form] ?? x86.eax)
    }
    asm.or(x86.eax, LOG.read << 24)
    this.#kernel.log()
  }

  #other(form: (typeof OTHERS)[number], value: number): void {
    const asm = this.#asm
    this.#prepare()
    switch (form) {
      case 'cmp':
        asm.cmp(x86.dword(K.TPR), value)
        break
      case 'and':
        asm.and(x86.dword(K.TPR), value)
        break
      case 'or':
        asm.or(x86.dword(K.TPR), value)
        break
      case 'movzx':
        asm.db(0x0f, 0xb6, 0x05, ...address)
        break
      case 'xchg':
        asm.mov(x86.ecx, value).xchg(x86.dword(K.TPR), x86.ecx)
        break
      case 'mov8':
        asm.db(0x8a, 0x1d, ...address)
        break
      case 'esp':
        this.#quietly(() => {
          asm.mov(x86.ebp, x86.esp).db(0x8b, 0x25, ...address)
          asm.mov(x86.eax, x86.esp).mov(x86.esp, x86.ebp)
        })
        break
    }
    this.#compare()
  }

  /** All processors at once: each has interrupts off until every message has been sent. */
  #cross(vector: number): void {
    const asm = this.#asm
    asm.cli()
    this.#barrier()
    asm.mov(x86.eax, x86.dword(K.APIC + 0x20)).add(x86.eax, 0x0100_0000)
    const wrapped = asm.label()
    asm
      .cmp(x86.eax, this.#cpus << 24)
      .jb(wrapped)
      .xor(x86.eax, x86.eax)
      .bind(wrapped)
    asm.mov(x86.dword(K.APIC + 0x310), x86.eax).mov(x86.dword(K.APIC + 0x300), 0x4000 | vector)
    this.#barrier()
    if (this.#on) asm.sti().nop()
  }

  /** Waits for all processors: a counter that each adds one to, until it has reached the next multiple of them. */
  #barrier(): void {
    const asm = this.#asm
    const counter = x86.dword(K.linear(K.AT.variables + 0x40))
    asm.mov(x86.eax, 1).lock().xadd(counter, x86.eax)
    // The end of this round: the multiple that follows.
    asm.xor(x86.edx, x86.edx).mov(x86.ecx, this.#cpus).div(x86.ecx).inc(x86.eax).imul(x86.eax, x86.ecx)
    const wait = asm.here()
    asm.pause().cmp(counter, x86.eax).jb(wait)
  }

  /** A write whose bytes lie in two pages that are neighbours only here: one instruction for all processors. */
  #crossing(value: number): void {
    this.#quietly(() => this.#asm.mov(x86.ecx, value).mov(x86.eax, CROSSING).call(x86.eax))
  }
}

/** Puts that instruction there. */
function emitCrossing(asm: x86.Assembler): void {
  const source = asm.label()
  const over = asm.label()
  asm.mov(x86.esi, source).mov(x86.edi, CROSSING).mov(x86.ecx, 7).rep().movsb().jmp(over)
  asm
    .bind(source)
    .db(0x89, 0x0d, ...address)
    .ret()
    .bind(over)
}

/** A device that raises interrupts: vectors in the bytes of a dword, a port for each processor. */
function stormDevice(cpus: number): DeviceModel {
  let context: DeviceContext
  return defineDevice({
    name: 'storm',
    synchronous: true,
    ports: { base: K.STORM_PORT, size: 4 * cpus },
    attach(given) {
      context = given
    },
    write(offset, size, value) {
      for (let i = 0; i < size; i++) {
        const vector = (value >>> (8 * i)) & 0xff
        if (vector !== 0) context.signalMsi((0xfee0_0000 | ((offset >> 2) << 12)) >>> 0, vector)
      }
    },
  })
}

/** What came of a run. */
export interface Outcome {
  readonly exit: MachineExit
  /** By processor. */
  readonly logs: readonly (readonly number[])[]
  readonly interrupts: number
  readonly pc: Pc
}

/** A machine for a kernel of `buildKernel`. */
export async function machineFor(kernel: Uint8Array, cpus: number, options: Partial<PcOptions> = {}): Promise<Pc> {
  return createPc({
    jit: TEST_JIT,
    memoryBytes: K.RAM_BYTES,
    codeCacheBytes: 4 << 20,
    cpus,
    kernel,
    clock: 'deterministic',
    devices: [stormDevice(cpus), new DebugExit({ iobase: K.EXIT_PORT })],
    ...options,
  })
}

/** A processor's log as far as it goes. */
export function readLog(pc: Pc, cpu: number): number[] {
  const pointer = new Uint8Array(4)
  pc.domain.guestMemory.read(K.AT.kpcr + cpu * 0x1000 + K.KPCR_LOG, pointer)
  const end = new DataView(pointer.buffer).getUint32(0, true) - K.KERNEL
  const bytes = new Uint8Array(Math.max(0, end - K.logOf(cpu)))
  pc.domain.guestMemory.read(K.logOf(cpu), bytes)
  return [...new Uint32Array(bytes.buffer)]
}

export async function runKernel(kernel: Uint8Array, cpus: number, options: Partial<PcOptions> = {}): Promise<Outcome> {
  const pc = await machineFor(kernel, cpus, options)
  const exit = await pc.run({ timeoutMs: 60_000 })
  return outcomeOf(pc, exit)
}

export function outcomeOf(pc: Pc, exit: MachineExit): Outcome {
  const logs = pc.domain.vcpus.map((_, cpu) => readLog(pc, cpu))
  return { exit, logs, interrupts: pc.statistics().interrupts, pc }
}
