// Compiled AVX-512 code against AVX2 and SSE code for the same work, on a bare 64-bit processor, and AVX2 code against QEMU's
// user-mode emulation, which has no AVX-512. Each kernel goes over arrays of 16 KiB; its time is that of an element, the
// shortest of several runs. The three kinds of code have to leave the same memory behind, or the bench fails.
//
//     npm run -s bench -- wide [--only TEXT] [--peer '']
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { hasProgram } from '@retrap/tooling/skip'
import { Assembler, eax, edi, r8, r15d, rdi, rdx, rsi } from '@retrap/x86-assembler'
import { loadInstructions } from '@retrap/x86-cpu'
import { S_CR4, S_MXCSR, S_XCR0 } from '../src/state/state-layout.ts'
import { S_ACTIVITY } from '../src/state/system-state.ts'
import { BareCpu } from '../test/support/bare-cpu.ts'
import { BASE, BYTES, dataOf, END, KERNELS, type Kernel, RESULT, TABLE, type Width, X, Y } from './wide/kernels.ts'

const CPU = 'sapphire-rapids'
/** Passes of a run; and of the peer's, whose process has to start. */
const PASSES = 50
const PEER_PASSES = 2000
const RUNS = 4
const MICROSECONDS = 150_000
/** All exceptions masked, and an inexact result reported before, as in any program that computes. */
const TO_NEAREST = 0x1fa0
const CR4_OSXSAVE = 1 << 18
const QEMU = 'qemu-x86_64'

type Emit = (asm: Assembler) => void

/** A program of passes. */
function program(body: Emit, passes: number, end: Emit): Emit {
  return (asm) => {
    asm.mov(r15d, passes)
    const pass = asm.here('pass')
    asm.mov(rsi, X).mov(rdi, Y).mov(r8, TABLE).mov(rdx, RESULT)
    body(asm)
    asm.dec(r15d).jne(pass)
    end(asm)
  }
}

/** A processor whose program is a kernel. */
class Subject {
  readonly #pc = new BareCpu({ cpu: CPU, jit: { threshold: 20 }, poison: false })
  readonly #kernel: Kernel
  /** Nanoseconds of an element, the shortest that was measured. */
  time = Infinity

  constructor(kernel: Kernel, body: Emit) {
    this.#kernel = kernel
    const pc = this.#pc
    pc.load(BASE, dataOf(kernel))
    pc.program(
      program(body, PASSES, (asm) => asm.hlt()),
      BASE,
    )
    const { u32 } = pc.cpu
    u32[S_CR4 >>> 2]! |= CR4_OSXSAVE
    u32[S_XCR0 >>> 2] = 0xe7
    pc.cpu.modeChanged()
    u32[S_MXCSR >>> 2] = TO_NEAREST
    this.#run()
  }

  #run(): void {
    const pc = this.#pc
    pc.cpu.u32[S_ACTIVITY >>> 2] = 0
    pc.rip = BASE
    let exit = pc.run(1_000_000)
    while (exit.reason === 'budget') exit = pc.run(1_000_000)
    if (exit.reason !== 'hlt') throw new Error(`${this.#kernel.name}: ${exit.reason}`)
  }

  /** Runs for some time of the thread's processor: the host counts it by ticks of 10 ms. */
  measure(): void {
    const began = process.threadCpuUsage()
    for (let runs = 1; ; runs++) {
      this.#run()
      const { user, system } = process.threadCpuUsage(began)
      if (user + system < MICROSECONDS) continue
      this.time = Math.min(this.time, ((user + system) * 1000) / (runs * PASSES * this.#kernel.elements))
      return
    }
  }

  /** The memory after the first run: sum of the results, and the second array. */
  memory(): string {
    const { host, cpu } = this.#pc
    const { buffer } = cpu.u8
    const view = new DataView(buffer, host.ramMa)
    const { isFloat = false } = this.#kernel
    const sum = Array.from({ length: 8 }, (_, i) =>
      isFloat ? view.getFloat32(RESULT + 4 * i, true) : view.getInt32(RESULT + 4 * i, true),
    ).reduce((a, b) => a + b)
    return `${sum} ${Buffer.from(buffer, host.ramMa + Y, BYTES).toString('base64')}`
  }
}

/** Runs a kernel as a program of its own in QEMU. @returns nanoseconds of an element */
function measurePeer(kernel: Kernel, body: Emit, folder: string): number {
  const file = join(folder, 'kernel')
  const timeOf = (passes: number): number => {
    writeFileSync(
      file,
      elf(
        kernel,
        program(body, passes, (asm) => asm.mov(eax, 60).xor(edi, edi).syscall()),
      ),
      {
        mode: 0o755,
      },
    )
    const began = performance.now()
    const { status, stderr } = spawnSync(QEMU, ['-cpu', 'max', file], { encoding: 'utf8' })
    if (status !== 0) throw new Error(`${QEMU}: ${kernel.name}: ${stderr}`)
    return performance.now() - began
  }
  const best = (passes: number): number => Math.min(timeOf(passes), timeOf(passes), timeOf(passes))
  return ((best(PEER_PASSES) - best(1)) * 1e6) / ((PEER_PASSES - 1) * kernel.elements)
}

/** A static ELF program whose only segment is the kernel's memory, with the code at its beginning. */
function elf(kernel: Kernel, code: Emit): Uint8Array {
  const asm = new Assembler({ bits: 64, address: BASE })
  code(asm)
  const header = new Uint8Array(0x1000)
  const view = new DataView(header.buffer)
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  for (const [at, value] of [
    [16, 2],
    [18, 62],
    [20, 1],
    [52, 64],
    [54, 56],
    [56, 1],
  ] as const)
    view.setUint16(at, value, true)
  view.setBigUint64(24, BigInt(BASE), true)
  view.setBigUint64(32, 64n, true)
  const size = BigInt(END - BASE)
  view.setUint32(64, 1, true)
  view.setUint32(68, 7, true)
  for (const [i, value] of [0x1000n, BigInt(BASE), BigInt(BASE), size, size, 0x1000n].entries())
    view.setBigUint64(72 + 8 * i, value, true)
  const memory = dataOf(kernel)
  memory.set(asm.assemble().bytes)
  return Buffer.concat([header, memory])
}

/** @param args - see the head of this file */
export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: { only: { type: 'string', default: '' }, peer: { type: 'string', default: QEMU } },
  })
  await loadInstructions(CPU)
  const hasPeer = hasProgram(values.peer)
  if (!hasPeer) console.error(`${values.peer}: not compared, there is no such program`)
  const folder = mkdtempSync(join(tmpdir(), 'wide-'))
  const worst = { plain: Infinity, masked: Infinity }
  for (const kernel of KERNELS.filter(({ name }) => name.includes(values.only))) {
    const found = new Map<Width, Subject>()
    for (const width of ['sse', 'avx2', 'avx512'] as const) {
      const body = kernel.code[width]
      if (body !== undefined) found.set(width, new Subject(kernel, body))
    }
    const [sse, avx2, avx512] = [found.get('sse'), found.get('avx2')!, found.get('avx512')!]
    const memory = avx512.memory()
    if ([...found.values()].some((one) => one.memory() !== memory))
      throw new Error(`${kernel.name}: the results differ`)
    for (let run = 0; run < RUNS; run++) for (const subject of found.values()) subject.measure()
    const ratio = avx2.time / avx512.time
    const kind = kernel.isMasked === true ? 'masked' : 'plain'
    worst[kind] = Math.min(worst[kind], ratio)
    const what = `${kernel.name}: ${avx512.time.toFixed(3)} ns an element against ${avx2.time.toFixed(3)} ns`
    console.log(`wide-${kind}: ${ratio.toFixed(2)} x the same work in AVX2 code (${what})`)
    if (sse !== undefined)
      console.log(
        `wide-sse: ${(sse.time / avx512.time).toFixed(2)} x the same work in SSE code (${kernel.name}: ` +
          `${avx512.time.toFixed(3)} ns an element against ${sse.time.toFixed(3)} ns)`,
      )
    if (!hasPeer) continue
    const peer = measurePeer(kernel, kernel.code.avx2!, folder)
    console.log(
      `wide-qemu: ${(peer / avx2.time).toFixed(2)} x QEMU's AVX2 code (${kernel.name}: ` +
        `${avx2.time.toFixed(3)} ns an element against ${peer.toFixed(3)} ns)`,
    )
  }
  rmSync(folder, { recursive: true })
  console.error(`worst: plain ${worst.plain.toFixed(2)} (goal 0.77), masked ${worst.masked.toFixed(2)} (goal 0.50)`)
}
