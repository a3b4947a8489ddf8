import { Worker } from 'node:worker_threads'
import { defineDevice } from '@retrap/device'
import * as a from '@retrap/x86-assembler'
import { restoreVcpu, saveVcpu } from '@retrap/x86-cpu'
import { afterEach, expect, test } from 'vitest'
import { type StartVcpu, vcpuThreads } from '../src/threads.ts'
import { CODE, EXIT_PORT, Guest, PROTECTED, realClock, STACK } from './support/guest.ts'

const APIC = 0xfee0_0000
const IPI_VECTOR = 0x40
const TIMER_VECTOR = 0x41
const [IPI_HANDLER, TIMER_HANDLER] = [0x4000, 0x4100]
const [ADDED, ANSWERS, IPIS, TIMERS, BACK, AT_WORK, TOLD, GO, SMIS] = [0, 1, 2, 3, 4, 5, 6, 7, 8].map(
  (n) => 0x5000 + 0x40 * n,
) as number[]
const PORT = 0x300
const SMI_PORT = 0x310
const ROUNDS = 60

const workers: Worker[] = []
afterEach(async () => void (await Promise.all(workers.splice(0).map((worker) => worker.terminate()))))

/** Adds, asks a device that takes its time, interrupts the next vCPU, and compares the time with what another has seen. */
function program(asm: a.Assembler, id: number, vcpus: number): void {
  asm.mov(a.dword(APIC + 0xf0), 0x1ff).mov(a.dword(APIC + 0x3e0), 0xb)
  asm.mov(a.dword(APIC + 0x320), 0x2_0000 | TIMER_VECTOR).mov(a.dword(APIC + 0x380), 2_000_000)
  const stands = asm.sti().here()
  asm.pause().cmp(a.dword(GO!), a.imm8(0)).jz(stands).rdtsc().mov(a.dword(TOLD!), a.eax).mov(a.ebx, ROUNDS)
  const round = asm.here()
  asm.mov(a.dx, PORT).in(a.eax, a.dx).lock().add(a.dword(ANSWERS!), a.eax)
  asm.mov(a.dword(APIC + 0x310), ((id + 1) % vcpus) << 24).mov(a.dword(APIC + 0x300), IPI_VECTOR)
  asm.mov(a.ecx, 20_000)
  const add = asm.here()
  asm.lock().inc(a.dword(ADDED!)).dec(a.ecx).jnz(add)
  const fine = asm.label('fine')
  asm.mov(a.esi, a.dword(TOLD!)).rdtsc().mov(a.ecx, a.eax).sub(a.ecx, a.esi).jns(fine)
  asm.lock().inc(a.dword(BACK!)).bind(fine)
  asm.mov(a.dword(TOLD!), a.eax).dec(a.ebx).jnz(round)
  asm.lock().dec(a.dword(AT_WORK!))
  if (id === 0) {
    const wait = asm.here()
    asm.pause().cmp(a.dword(AT_WORK!), a.imm8(0)).jnz(wait)
    // INIT, to all but itself.
    asm.mov(a.dword(APIC + 0x300), 0xc_4500).mov(a.ecx, 200_000)
    const settles = asm.here()
    asm.pause().dec(a.ecx).jnz(settles)
    asm.cli().mov(a.al, 0).out(EXIT_PORT, a.al)
  }
  const halt = asm.here()
  asm.hlt().jmp(halt)
}

/** A Worker for a vCPU. */
const startWorker: StartVcpu = () => {
  const worker = new Worker(new URL('support/vcpu-worker.ts', import.meta.url), {
    execArgv: ['--conditions=retrap-source'],
  })
  workers.push(worker)
  return {
    postMessage: (message) => worker.postMessage(message),
    listen: (onMessage, onEnd) => void worker.on('message', onMessage).on('exit', () => onEnd('it was ended')),
    terminate: () => void worker.terminate(),
  }
}

function make(vcpus: number, build = program, start = startWorker): Guest {
  const device = defineDevice({
    name: 'slow',
    stateless: true,
    ports: { base: PORT, size: 4 },
    read: () => new Promise((resolve) => void setImmediate(() => resolve(1))),
  })
  const guest = new Guest((asm) => build(asm, 0, vcpus), {
    vcpus,
    clock: realClock(),
    devices: [device],
    threads: vcpuThreads(start),
  })
  for (const [vector, at, word] of [
    [IPI_VECTOR, IPI_HANDLER, IPIS],
    [TIMER_VECTOR, TIMER_HANDLER, TIMERS],
  ] as const) {
    guest.program(at, 32, (asm) =>
      asm
        .lock()
        .inc(a.dword(word!))
        .mov(a.dword(APIC + 0xb0), 0)
        .iretd(),
    )
    guest.vector(vector, at)
  }
  guest.write64(AT_WORK!, BigInt(vcpus))
  for (let id = 1; id < vcpus; id++) {
    const at = CODE + 0x1000 * id
    guest.program(at, 32, (asm) => build(asm, id, vcpus))
    guest.start(id, { ...PROTECTED, registers: { ...PROTECTED.registers, rip: at, rsp: STACK - 0x1000 * id } })
  }
  return guest
}

/** Runs a guest, whose program begins when its vCPUs are in their threads. */
async function begin(guest: Guest): Promise<{ readonly run: ReturnType<Guest['run']>; readonly timers: number }> {
  const run = guest.run()
  while (guest.domain.architecture.threads?.areRunning !== true)
    await new Promise((resolve) => void setTimeout(resolve, 5))
  const timers = guest.read32(TIMERS!)
  guest.write64(GO!, 1n)
  return { run, timers }
}

test.each([
  ['without a break', false],
  ['kicked again and again', true],
])('nothing is lost between three vCPUs, %s', { timeout: 60_000 }, async (_name, isStopped) => {
  const guest = make(3)
  const { domain } = guest
  let [ticks, stops] = [0, 0]
  const seen = new Set<string>()
  const tick = (): void => {
    if (seen.has('changed') && domain.architecture.threads?.areRunning === true) seen.add('running again')
    if (++ticks % 3 > 0) domain.stop({ reason: 'pause' })
    else void domain.changeMemory((p2m) => p2m.populate(0x200 + ticks, 1)).then(() => seen.add('changed'))
  }
  const { run, timers } = await begin(guest)
  const timer = isStopped ? setInterval(tick, 7) : undefined
  let exit = await run
  for (; exit.reason === 'pause'; exit = await guest.run()) stops++
  clearInterval(timer)
  expect(exit).toEqual({ reason: 'debug-exit', code: 0 })
  expect([domain.architecture.threads?.areRunning, Number.isInteger(domain.instructions)]).toEqual([false, true])
  expect([ADDED, ANSWERS, BACK].map((at) => guest.read32(at!))).toEqual([3 * 20_000 * ROUNDS, 3 * ROUNDS, 0])
  expect(guest.read32(IPIS!)).toBeGreaterThan(0)
  expect(guest.read32(IPIS!)).toBeLessThanOrEqual(3 * ROUNDS)
  expect(guest.read32(TIMERS!)).toBeGreaterThan(timers + 3)
  // That of a busy host may not have taken it: it is in protected mode, then.
  const waits = domain.vcpus.slice(1).map(({ cpu }) => cpu.waitsForStartup || (cpu.registers.cr0 & 1) !== 0)
  expect(waits).toEqual([true, true])
  if (isStopped) expect([stops > 3, ...seen]).toEqual([true, 'changed', 'running again'])
  domain.close()
})

test('a message of a thread that has been ended is ignored', async () => {
  const listeners: Parameters<ReturnType<StartVcpu>['listen']>[0][] = []
  const idle = { postMessage: () => {}, terminate: () => {} }
  const guest = make(2, program, () => ({ ...idle, listen: (onMessage) => void listeners.push(onMessage) }))
  const run = guest.run()
  while (listeners.length < 2) await new Promise((resolve) => void setTimeout(resolve, 5))
  guest.domain.stop({ reason: 'pause' })
  await run
  guest.domain.close()
  for (const listener of listeners) listener('ready')
  expect(guest.domain.architecture.threads?.areRunning).toBe(false)
})

test('an SMI comes right after the instruction of a thread that causes it', { timeout: 60_000 }, async () => {
  const rounds = 20
  const guest = make(2, (asm, id) => {
    const seen = SMIS! + 4 * id
    asm.mov(a.dword(APIC + 0xf0), 0x1ff)
    const stands = asm.here()
    asm.pause().cmp(a.dword(GO!), a.imm8(0)).jz(stands).mov(a.ebx, rounds)
    // The handler has counted before the next instruction, and nothing else has.
    const round = asm.here()
    const fine = asm.label('fine')
    asm.mov(a.eax, a.dword(seen)).inc(a.eax)
    asm.mov(a.dx, SMI_PORT + id).out(a.dx, a.al)
    asm.cmp(a.eax, a.dword(seen)).jz(fine).lock().inc(a.dword(BACK!)).bind(fine)
    asm.mov(a.ecx, 2000)
    const loop = asm.here()
    asm.dec(a.ecx).jnz(loop).dec(a.ebx).jnz(round).lock().dec(a.dword(AT_WORK!))
    const wait = asm.here()
    asm.pause().cmp(a.dword(AT_WORK!), a.imm8(0)).jnz(wait)
    if (id === 0) asm.mov(a.al, 0).out(EXIT_PORT, a.al)
    asm.jmp(wait)
  })
  const { domain, memory } = guest
  const frame = memory.frames.allocate(0)
  domain.systemManagementMemory = {
    machineAddress: (gpa) => ([0x38, 0x48].includes(gpa >>> 12) ? (frame << 12) + (gpa & 0xfff) : -1),
  }
  // Each vCPU has a save area: both may be in their handlers, as a busy host ends turns anywhere.
  const { cpu } = domain.vcpus[1]!
  const saved = saveVcpu(cpu)
  restoreVcpu(cpu, { ...saved, pending: { ...saved.pending, smbase: '0x40000' } })
  domain.attach(
    defineDevice({
      name: 'chipset',
      stateless: true,
      synchronous: true,
      ports: { base: SMI_PORT, size: 2 },
      write: () => domain.vcpus[domain.executingVcpu]?.smi(),
    }),
  )
  // The save area's I/O state names the port, and the port its vCPU.
  const handler = new a.Assembler({ bits: 16, address: 0x8000 })
  handler.mov(a.bx, a.cs).mov(a.ds, a.bx).mov(a.bx, a.word(0xffa6)).sub(a.bx, SMI_PORT).shl(a.bx, 2)
  handler.xor(a.cx, a.cx).mov(a.ds, a.cx)
  handler.inc(a.word(a.bx, { disp: SMIS! })).rsm()
  memory.write(frame << 12, handler.assemble().bytes)
  const { run } = await begin(guest)
  expect(await run).toEqual({ reason: 'debug-exit', code: 0 })
  expect([BACK!, SMIS!, SMIS! + 4].map((at) => guest.read32(at))).toEqual([0, rounds, rounds])
  domain.close()
})

test('a thread that dies ends its domain with a sentence', { timeout: 60_000 }, async () => {
  const guest = make(2)
  const { run } = await begin(guest)
  await workers[1]!.terminate()
  const error = 'the thread of vCPU 1 has ended: it was ended'
  expect(await run).toEqual({ reason: 'internal-error', vcpu: 1, error })
  guest.domain.close()
})
