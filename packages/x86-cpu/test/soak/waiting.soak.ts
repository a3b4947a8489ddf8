import type { Rng, Soak } from '@retrap/tooling/soak'
import * as x86 from '@retrap/x86-assembler'
import { restoreVcpu, saveVcpu, type CpuHost, type Words } from '../../src/index.ts'
import { STATUS_DONE, STATUS_RESTART, STATUS_RETRY, S_CR4 } from '../../src/state/state-layout.ts'
import { BareCpu, IDT, PAGE_TABLE, RAM_BYTES, type TestDevice } from '../support/bare-cpu.ts'

const MODES = ['long', 'protected', 'real'] as const
type Mode = (typeof MODES)[number]

/** Two pages of devices in the middle of RAM, which real mode reaches as well. */
const DEVICE = 0x9000
const DEVICE_FRAMES = [DEVICE >>> 12, (DEVICE >>> 12) + 1]
/** What it answers the machine says. */
const A_DEVICE: TestDevice = { read: () => 0n, write: () => true }
const RAM = 0x6000
const HANDLERS = 0x4000
const HANDLER_BYTES = 32
const IRQ = 0x40
const BUDGET = 2000
/** In place of a budget: one instruction. */
const STEP = 0
/** Code from here on runs into the end of the segment. */
const REAL_END = 0xffc0
const MOST_EXITS = 400
/** Accesses that the plan of a case says something about. */
const PLANNED = 40

/**
 * How a machine's devices answer, and how it is run on.
 * - at once: nothing waits.
 * - restarts: what waits starts again as a logged pass.
 * - alone: what waits stands where it is, and retires alone.
 * - runs on: the same, with the instructions after it.
 */
const STYLES = ['at once', 'restarts', 'alone', 'runs on'] as const
type Style = (typeof STYLES)[number]

const CHANGES = [
  'nothing',
  'code',
  'decoded code',
  'TLB',
  'device unmapped',
  'device to RAM',
  'code unmapped',
  'code to device',
  'code elsewhere',
] as const
const EVENTS = ['nothing', 'interrupt', 'NMI', 'injected', 'stop', 'INIT'] as const

/** What happens while an access waits. */
interface Wait {
  readonly early: number
  readonly event: (typeof EVENTS)[number]
  readonly change: (typeof CHANGES)[number]
  readonly at: number
  readonly byte: number
}

interface Case {
  readonly start: number
  readonly code: Uint8Array
  readonly registers: readonly number[]
  readonly breakpoint: readonly [address: number, dr7: number] | null
  readonly waits: readonly Wait[]
  readonly budgets: readonly number[]
}

/** A machine whose devices are slow in one of the ways. */
class Machine {
  readonly pc: BareCpu
  readonly #style: Style
  readonly #initial: ReturnType<typeof saveVcpu>
  readonly #template: Uint8Array
  readonly #ram: Uint8Array
  accesses: string[] = []
  #asked: { readonly at: number; readonly size: number } | null = null
  #ready = false
  retired = 0

  constructor(mode: Mode, style: Style) {
    this.#style = style
    const pc = new BareCpu({ mode, codeCacheBytes: 1 << 18 })
    this.pc = pc
    pc.cpu.u32[S_CR4 >>> 2]! |= 0x600
    const host: CpuHost = pc.host
    host.physicalRead = (gpa, size, into, logged) => this.#access('read', gpa, size, into, logged)
    host.physicalWrite = (gpa, size, lo, hi, logged) =>
      this.#access(`write ${lo.toString(16)}:${hi.toString(16)}`, gpa, size, { lo: 0, hi: 0 }, logged)
    host.portRead = (port, size, into, logged) => this.#access('in', port, size, into, logged)
    host.portWrite = (port, size, value, logged) =>
      this.#access(`out ${value.toString(16)}`, port, size, { lo: 0, hi: 0 }, logged)
    host.answer = () => (this.#ready ? this.#answer(host.record) : STATUS_RETRY)
    host.answersAtOnce = (port) => port && style === 'at once'
    host.cancelled = () => void (this.#asked = null)
    handlers(pc)
    this.#initial = saveVcpu(pc.cpu)
    this.#ram = pc.memory.u8.subarray(pc.host.ramMa, pc.host.ramMa + RAM_BYTES)
    this.#template = this.#ram.slice()
  }

  get ram(): Uint8Array {
    return this.#ram
  }

  #access(what: string, at: number, size: number, into: Words, logged: boolean): number {
    if (this.#style === 'restarts' && !logged) return STATUS_RESTART
    if (this.#asked !== null) throw new Error(`${what} while another access waits`)
    this.accesses.push(`${what} ${size} at ${at.toString(16)}`)
    this.#asked = { at, size }
    return this.#style === 'at once' ? this.#answer(into) : STATUS_RETRY
  }

  #answer(into: Words): number {
    const { at, size } = this.#asked as { at: number; size: number }
    this.#asked = null
    this.#ready = false
    const value = Math.imul(this.accesses.length + at, 0x9e37_79b1) >>> 0
    into.lo = size === 4 || size === 8 ? value : value & (size === 2 ? 0xffff : 0xff)
    into.hi = size === 8 ? Math.imul(value, 31) >>> 0 : 0
    return STATUS_DONE
  }

  #prepare({ start, code, registers, breakpoint }: Case): void {
    const { pc } = this
    const { cpu, host } = pc
    cpu.cancel()
    pc.load(0, this.#template)
    host.devices.clear()
    for (const gfn of DEVICE_FRAMES) host.devices.set(gfn, A_DEVICE)
    host.interrupts.length = 0
    restoreVcpu(cpu, this.#initial)
    cpu.setInterruptPending(false)
    pc.load(start, code)
    pc.rip = start
    for (const [i, name] of (['rax', 'rcx', 'rbx', 'rsi', 'rdi'] as const).entries())
      pc.setRegister(name, registers[i] as number)
    pc.setRegister('rdx', 0x40)
    pc.setRegister('rbp', RAM + 0x100)
    pc.breakpoint(0, breakpoint?.[0] ?? 0, breakpoint?.[1] ?? 0)
    this.accesses = []
    this.#asked = null
    this.#ready = false
  }

  run(given: Case): string {
    this.#prepare(given)
    const { cpu } = this.pc
    const before = cpu.retired
    let exits = 0
    let waited = 0
    let budget = BUDGET
    for (;;) {
      const exit = budget === STEP ? cpu.step() : cpu.run(budget)
      if (exit.reason === 'error') throw exit.error
      budget = BUDGET
      if (
        exit.reason === 'hlt' ||
        exit.reason === 'shutdown' ||
        exit.reason === 'wait-for-sipi' ||
        // A step at a time makes exits of its own.
        (exit.reason === 'blocked' && ++exits > MOST_EXITS) ||
        cpu.retired - before > BUDGET
      ) {
        this.retired = cpu.retired - before
        return exits > MOST_EXITS || cpu.retired - before > BUDGET ? 'astray' : exit.reason
      }
      if (exit.reason !== 'blocked') continue
      const wait = given.waits[waited++ % PLANNED] as Wait
      for (let i = 0; i < wait.early; i++) {
        const again = cpu.run(BUDGET)
        if (again.reason !== 'blocked') throw new Error(`${again.reason} without an answer`)
      }
      this.#happens(given, wait)
      // INIT comes first.
      this.#ready = wait.event !== 'INIT'
      if (this.#style === 'alone') budget = STEP
      else if (this.#style === 'runs on') budget = given.budgets[waited % PLANNED] as number
    }
  }

  #happens({ start, code }: Case, { event, change, at, byte: value }: Wait): void {
    const { pc } = this
    const { cpu, host } = pc
    const page = start >>> 12
    if (event === 'interrupt') pc.interrupt(IRQ)
    else if (event === 'NMI') cpu.nmi()
    else if (event === 'injected') cpu.inject(IRQ, true, -1, 0, 0)
    else if (event === 'stop') cpu.stop()
    else if (event === 'INIT') cpu.init()
    switch (change) {
      case 'code':
        pc.load(start + (at % code.length), [value, 0x90])
        break
      case 'decoded code':
        pc.engine.codeCache.flush()
        break
      case 'TLB':
        cpu.flushTlb(true)
        break
      case 'device unmapped':
        if (pc.mode === 'long') pc.write64(PAGE_TABLE + 8 * (DEVICE >>> 12), 0n)
        cpu.flushTlb(true)
        break
      case 'device to RAM':
        host.devices.delete(DEVICE >>> 12)
        cpu.flushTlb(true)
        break
      case 'code unmapped':
        if (pc.mode === 'long') pc.write64(PAGE_TABLE + 8 * page, 0n)
        cpu.flushTlb(true)
        break
      case 'code to device':
        host.devices.set(page, A_DEVICE)
        cpu.flushTlb(true)
        break
      case 'code elsewhere':
        if (pc.mode === 'long') {
          pc.load(0x2_0000, this.ram.slice(page << 12, (page + 1) << 12))
          pc.load(0x2_0000 + ((start + (at % code.length)) & 0xfff), [value])
          pc.write64(PAGE_TABLE + 8 * page, 0x2_0007n)
        }
        cpu.flushTlb(true)
        break
      default:
    }
  }

  outcome(exit: string): string {
    return JSON.stringify({ exit, retired: this.retired, accesses: this.accesses, cpu: saveVcpu(this.pc.cpu) })
  }
}

/** Exceptions halt; interrupts, NMI and #DB add up where they came. */
function handlers(pc: BareCpu): void {
  for (let vector = 0; vector <= IRQ; vector++) {
    const at = HANDLERS + HANDLER_BYTES * (vector === IRQ ? 33 : vector)
    if (vector > 32 && vector !== IRQ) continue
    pc.program((asm) => {
      if (![1, 2, IRQ].includes(vector)) asm.hlt()
      else if (pc.mode === 'long') asm.add(x86.r13, x86.qword(x86.rsp)).rol(x86.r13, 7).inc(x86.r15).iretq()
      else if (pc.mode === 'protected')
        asm
          .add(x86.edi, x86.dword(x86.abs(RAM + 0xf00)))
          .inc(x86.edi)
          .iretd()
      else
        asm
          .push(x86.bp)
          .mov(x86.bp, x86.sp)
          .add(x86.si, x86.word(x86.bp, { disp: 2 }))
          .rol(x86.si, 3)
          .pop(x86.bp)
          .iret()
    }, at)
    if (pc.mode === 'protected') {
      pc.write32(IDT + 8 * vector, (8 << 16) | at)
      pc.write32(IDT + 8 * vector + 4, 0x8e00)
    } else pc.vector(vector, at)
  }
}

type Draw = (asm: x86.Assembler, rng: Rng, mode: Mode) => void

const offset = (rng: Rng): number => rng.pick([0, 1, 2, 4, 8, 0x10, 0xff8, 0xffe])
const device = (rng: Rng): number => DEVICE + offset(rng)

const ACCESSES: readonly Draw[] = [
  (asm) => asm.in(x86.al, x86.imm8(0x40)),
  (asm) => asm.in(x86.eax, x86.imm8(0x44)),
  (asm) => asm.in(x86.ax, x86.dx),
  (asm) => asm.out(x86.imm8(0x40), x86.al),
  (asm) => asm.out(x86.dx, x86.eax),
  (asm, rng) => asm.mov(x86.eax, x86.dword(device(rng))),
  (asm, rng) => asm.mov(x86.ebx, x86.dword(device(rng))),
  (asm, rng) => asm.mov(x86.dword(device(rng)), x86.ebx),
  (asm, rng) => asm.mov(x86.byte(device(rng)), x86.al),
  (asm, rng) => asm.mov(x86.dword(device(rng)), 0x1234),
  (asm, rng) => asm.movzx(x86.eax, x86.byte(device(rng))),
  (asm, rng) => asm.movsx(x86.ecx, x86.word(device(rng))),
  (asm, rng) => asm.add(x86.eax, x86.dword(device(rng))),
  (asm, rng) => asm.cmp(x86.dword(device(rng)), 5),
  (asm, rng) => asm.test(x86.byte(device(rng)), 3),
  (asm, rng) => asm.adc(x86.ebx, x86.dword(device(rng))),
  (asm, rng) => asm.inc(x86.dword(device(rng))),
  (asm, rng) => asm.xchg(x86.dword(device(rng)), x86.eax),
  (asm, rng) => asm.cmovz(x86.eax, x86.dword(device(rng))),
  (asm, rng) => asm.setz(x86.byte(device(rng))),
  (asm, rng) => asm.movbe(x86.eax, x86.dword(device(rng))),
  (asm, rng) => asm.push(x86.word(device(rng))),
  (asm, rng) => asm.pop(x86.word(device(rng))),
  (asm, rng) => asm.movd(x86.xmm0, x86.dword(device(rng))),
  (asm, rng) => asm.movq(x86.xmm0, x86.qword(device(rng))),
  (asm, rng) => asm.movq(x86.qword(device(rng)), x86.xmm0),
  (asm, rng) => asm.movups(x86.xmm1, x86.xmmword(device(rng))),
  (asm, rng) => asm.movups(x86.xmmword(device(rng)), x86.xmm1),
  (asm, rng) => asm.fnstcw(x86.word(device(rng))),
  (asm, rng) => asm.fld(x86.dword(device(rng))),
  (asm, rng) => asm.clflush(x86.byte(device(rng))),
  (asm, rng, mode) =>
    mode === 'long' ? asm.mov(x86.rax, x86.qword(x86.abs(device(rng)))) : asm.mov(x86.al, x86.byte(device(rng))),
  (asm, rng, mode) =>
    mode === 'long' ? asm.mov(x86.qword(x86.abs(device(rng))), x86.rbx) : asm.mov(x86.word(device(rng)), x86.ax),
  (asm, rng) => asm.mov(x86.eax, x86.dword(DEVICE - 2 + rng.below(2))),
  (asm) => asm.mov(x86.edi, DEVICE).mov(x86.ecx, 3).rep().stosb(),
  (asm) => asm.mov(x86.esi, DEVICE).mov(x86.edi, RAM).mov(x86.ecx, 2).rep().movsb(),
  (asm) => asm.mov(x86.edi, DEVICE).insb(),
  (asm) => asm.mov(x86.esi, DEVICE).outsb(),
  (asm, rng) => asm.mov(x86.ebx, device(rng)).mov(x86.eax, 1).xlatb(),
  (asm, rng) => asm.mov(x86.ebp, device(rng)).leave(),
]

/** A store over the instruction after the next. */
const overwriting: Draw = (asm) => {
  const there = asm.label()
  asm.mov(x86.byte(there), 0x43).nop().bind(there).nop()
}

const OTHERS: readonly Draw[] = [
  (asm) => asm.nop(),
  (asm) => asm.inc(x86.ebx),
  (asm) => asm.mov(x86.dword(RAM + 8), x86.eax),
  (asm) => asm.add(x86.dword(RAM + 8), x86.ebx),
  (asm) => asm.mov(x86.ecx, x86.dword(RAM + 8)),
  (asm) => asm.sti(),
  (asm) => asm.cli(),
  (asm) => asm.pushf(),
  (asm) => asm.push(0x202).popf(),
  (asm, _rng, mode) => {
    asm.push(0x302)
    if (mode === 'long') asm.popfq()
    else asm.popf()
  },
  (asm, _rng, mode) => asm.mov(x86.ecx, mode === 'real' ? 0 : 0x10).mov(x86.ss, x86.ecx),
  (asm) => {
    const next = asm.label()
    asm.jmp(next).bind(next)
  },
  (asm, _rng, mode) => {
    const next = asm.label()
    asm.call(next).bind(next)
    if (mode === 'long') asm.pop(x86.rdx)
    else if (mode === 'protected') asm.pop(x86.edx)
    else asm.pop(x86.dx)
  },
  (asm) => asm.pause(),
  (asm, _rng, mode) => (mode === 'long' ? asm.mov(x86.r8, x86.cr3).mov(x86.cr3, x86.r8) : asm.nop()),
  (asm, rng, mode) => (mode === 'long' ? asm.invlpg(x86.byte(x86.abs(device(rng)))) : asm.nop()),
  (asm) => asm.int(IRQ),
  overwriting,
  (asm) => asm.push(2).popf(),
  (asm) => asm.cpuid(),
]

const machines = new Map<string, Machine>()
function machine(mode: Mode, style: Style): Machine {
  const key = `${mode} ${style}`
  let known = machines.get(key)
  if (known === undefined) machines.set(key, (known = new Machine(mode, style)))
  return known
}

function drawCase(rng: Rng, mode: Mode): Case {
  const start = rng.pick([0x1000, 0x1fc0 + rng.below(0x30), mode === 'real' ? REAL_END + rng.below(0x18) : 0x1ff0])
  const draws: Draw[] = []
  let last: Draw | undefined
  const count = 2 + rng.below(10)
  const asm = new x86.Assembler({ bits: mode === 'long' ? 64 : mode === 'protected' ? 32 : 16, address: start })
  for (let i = 0; i < count; i++) {
    // A device is often asked the same again.
    const again = rng.below(3) === 2
    const list = rng.chance() ? ACCESSES : OTHERS
    const draw = again && last !== undefined ? last : (list[rng.below(list.length)] as Draw)
    if (list === ACCESSES) last = draw
    // Its address would be beyond the segment.
    if (draw === overwriting && start >= REAL_END) continue
    draws.push(draw)
    draw(asm, rng, mode)
  }
  asm.hlt().hlt()
  const code = asm.assemble().bytes
  rng.note('mode', `${mode} at ${start.toString(16)}`)
  rng.note('code', () => draws.map((draw) => draw.toString().replaceAll(/^.*?=> |\(0,\w+\.|\s+/gs, '')).join('; '))
  rng.note('bytes', () => Buffer.from(code).toString('hex'))
  const calm = rng.chance(1, 3)
  const waits = Array.from({ length: PLANNED }, (): Wait => ({
    early: rng.below(3) === 2 ? 1 : 0,
    event: !calm && rng.chance(1, 4) ? rng.pick(EVENTS) : 'nothing',
    change: !calm && rng.chance(1, 4) ? rng.pick(CHANGES) : 'nothing',
    at: rng.below(64),
    byte: rng.pick([0x90, 0xf4, 0x43, 0x41, 0xec]),
  }))
  rng.note('waits', () =>
    waits
      .slice(0, 12)
      .map((w) => `${w.event}/${w.change}@${w.at}=${w.byte.toString(16)}`)
      .join(', '),
  )
  const dr7 = rng.chance(1, 4) ? rng.pick([1, 1, 1, 1, 0xd_0001, 0xf_0001, 0x2_0001]) : 0
  return {
    start,
    code,
    registers: Array.from({ length: 5 }, () => rng.u32()),
    breakpoint: dr7 === 0 ? null : [dr7 === 0x2_0001 ? 0x40 : dr7 === 1 ? start + rng.below(code.length) : DEVICE, dr7],
    waits,
    budgets: Array.from({ length: PLANNED }, () => rng.pick([1, 2, 3, 10, BUDGET])),
  }
}

/** Whatever way an instruction waits for its device, and whatever comes after it, the same happens. */
export const soak: Soak = {
  name: 'waiting',
  count: 3000,
  step(rng) {
    const mode = rng.pick(MODES)
    const given = drawCase(rng, mode)
    const calm = given.waits.every((wait) => wait.event === 'nothing' && wait.change === 'nothing')
    const reference = machine(mode, 'restarts')
    const exit = reference.run(given)
    if (exit === 'astray') return undefined
    const expected = reference.outcome(exit)
    for (const style of STYLES) {
      if (style === 'restarts' || (style === 'at once' && !calm)) continue
      const other = machine(mode, style)
      const outcome = other.outcome(other.run(given))
      if (outcome !== expected) return `${style}: ${difference(expected, outcome)}`
      if (Buffer.compare(reference.ram, other.ram) !== 0) {
        const at = reference.ram.findIndex((value, i) => value !== other.ram[i])
        return `${style}: memory at ${at.toString(16)} is ${reference.ram[at]} and ${other.ram[at]}`
      }
    }
    return undefined
  },
}

function difference(a: string, b: string): string {
  let at = 0
  while (a[at] === b[at]) at++
  const from = Math.max(0, at - 60)
  return `${a.slice(from, at + 40)}  <>  ${b.slice(from, at + 40)}`
}
