// Runs the same small 32-bit programs on a whole PC of ours and on v86's (npm), whose nearest relative our interpreter is:
// v86 with its JIT off, then on. Both start one firmware image; a program writes a byte to COM1 when it starts and one
// when it is done, and the processor time of all threads in between counts. The three take turns, and the best time of
// each counts. Ratios are speed against speed: more than 1 is faster than v86.
import { endFirmware, enterFlat, FIRMWARE_BASE } from '@retrap/x86-assembler/guest-code'
import { fileURLToPath } from 'node:url'
import { createPc } from '@retrap/machine'
import { threadsTime } from '@retrap/tooling/processor-time'
import { Assembler, al, dword, dx, eax, ebp, ebx, ecx, edi, edx, esi, ptr } from '@retrap/x86-assembler'
import { V86 } from 'v86'

const COM1 = 0x3f8

interface Workload {
  readonly name: string
  readonly what: string
  /** Emits the program; may use every register but ESP. Labels get `id` into their names. */
  readonly emit: (asm: Assembler, id: string) => void
}

const WORKLOADS: readonly Workload[] = [
  {
    name: 'mix',
    what: '21 instructions with 2 loads, 2 stores and 2 branches, 3 million rounds',
    emit: (asm, id) => {
      const [loop, skip] = [asm.label(`loop ${id}`), asm.label(`skip ${id}`)]
      asm.mov(ecx, 3_000_000).mov(esi, 0x20_0000).mov(edi, 0x20_1000).xor(eax, eax).xor(ebx, ebx)
      asm.bind(loop)
      asm.mov(edx, dword(esi)).add(eax, edx).xor(edx, ebx).mov(dword(edi), edx)
      asm.lea(ebx, ptr(ebx, { index: eax, scale: 2, disp: 7 }))
      asm.shr(edx, 3).and(edx, 0xff).add(edx, eax).test(edx, 1).je(skip)
      asm.inc(ebx)
      asm.bind(skip)
      asm
        .mov(ebp, dword(edi, { disp: 4 }))
        .sub(ebp, edx)
        .or(ebp, 1)
        .mov(dword(esi, { disp: 4 }), ebp)
      asm
        .mov(edx, eax)
        .shl(edx, 1)
        .cmp(edx, ebx)
        .lea(eax, ptr(eax, { disp: 1 }))
        .dec(ecx)
        .jne(loop)
    },
  },
  {
    name: 'calls',
    what: 'the 27th Fibonacci number by recursion',
    emit: (asm, id) => {
      const [fib, done, base] = [asm.label(`fib ${id}`), asm.label(`done ${id}`), asm.label(`base ${id}`)]
      asm.mov(eax, 27).call(fib).jmp(done)
      asm.bind(fib).cmp(eax, 2).jb(base)
      asm.push(ebx).push(eax).dec(eax).call(fib).mov(ebx, eax).pop(eax).sub(eax, 2).call(fib).add(eax, ebx).pop(ebx)
      asm.bind(base).ret()
      asm.bind(done)
    },
  },
  {
    name: 'sort',
    what: 'bubble sort of 3000 words',
    emit: (asm, id) => {
      const [fill, outer] = [asm.label(`fill ${id}`), asm.label(`outer ${id}`)]
      const [inner, keep] = [asm.label(`inner ${id}`), asm.label(`keep ${id}`)]
      asm.mov(edi, 0x20_0000).mov(ecx, 3000).mov(eax, 12345)
      asm.bind(fill)
      asm.imul(eax, eax, 1_103_515_245).add(eax, 12345).mov(dword(edi), eax).add(edi, 4).dec(ecx).jne(fill)
      asm.mov(ecx, 2999)
      asm.bind(outer).mov(esi, 0x20_0000).mov(edx, ecx)
      asm.bind(inner)
      asm
        .mov(eax, dword(esi))
        .mov(ebx, dword(esi, { disp: 4 }))
        .cmp(eax, ebx)
        .jbe(keep)
      asm.mov(dword(esi), ebx).mov(dword(esi, { disp: 4 }), eax)
      asm.bind(keep).add(esi, 4).dec(edx).jne(inner).dec(ecx).jne(outer)
    },
  },
]

/** Rounds of each workload within one start; the best counts, so that the first may compile. */
const ROUNDS = 3
/** Starts of each machine, in turn. */
const PASSES = 3

/** A firmware image: reset vector, flat protected mode, the workloads one after another, halt. */
function buildImage(): Uint8Array {
  const asm = new Assembler({ bits: 16, address: FIRMWARE_BASE })
  const halt = asm.label('halt')
  enterFlat(asm, 0x18_0000)
  const say = (character: string): void => void asm.mov(dx, COM1).mov(al, character.charCodeAt(0)).out(dx, al)
  for (const [i, workload] of WORKLOADS.entries()) {
    for (let round = 0; round < ROUNDS; round++) {
      say(String.fromCharCode(97 + i))
      workload.emit(asm, `${i} ${round}`)
      say(String.fromCharCode(65 + i))
    }
  }
  asm.bind(halt).hlt().jmp(halt)
  endFirmware(asm)
  return asm.assemble().bytes
}

/** Notes when each byte arrives; gives the best round of each workload in milliseconds. */
class Stopwatch {
  readonly times: number[] = []
  #started = 0
  readonly done: Promise<void>
  #finish: () => void = () => undefined
  #marks = 0

  constructor() {
    this.done = new Promise((resolve) => (this.#finish = resolve))
  }

  byte(value: number): void {
    if (value >= 97) this.#started = threadsTime()
    else {
      const ms = (threadsTime() - this.#started) / 1e6
      this.times[value - 65] = Math.min(this.times[value - 65] ?? Infinity, ms)
    }
    if (++this.#marks === 2 * ROUNDS * WORKLOADS.length) this.#finish()
  }
}

async function runRetrap(image: Uint8Array): Promise<readonly number[]> {
  const watch = new Stopwatch()
  const pc = await createPc({
    memoryBytes: 32 << 20,
    firmware: image,
    // Each byte as it is written, without the serial port's batches.
    devices: [
      {
        name: 'stopwatch',
        attach: (context) =>
          void context.mapPorts(
            COM1,
            1,
            { read: () => 0xff, write: (_offset, _size, value) => watch.byte(value) },
            { priority: 1 },
          ),
      },
    ],
  })
  const stop = new AbortController()
  const running = pc.run({ signal: stop.signal })
  await watch.done
  stop.abort()
  await running
  return watch.times
}

async function runV86(image: Uint8Array, jit: boolean): Promise<readonly number[]> {
  const watch = new Stopwatch()
  const emulator = new V86({
    wasm_path: fileURLToPath(import.meta.resolve('v86').replace('libv86.mjs', 'v86.wasm')),
    bios: { buffer: image.slice().buffer },
    memory_size: 32 << 20,
    disable_jit: !jit,
    autostart: true,
  })
  emulator.add_listener('serial0-output-byte', (value: number) => watch.byte(value))
  await watch.done
  await emulator.destroy()
  return watch.times
}

/** Prints how many times faster than v86 we are, without and with its JIT. */
export async function run(): Promise<void> {
  const image = buildImage()
  const [ours, interpreted, compiled]: [number[], number[], number[]] = [[], [], []]
  const keep = (best: number[], times: readonly number[]): void =>
    times.forEach((ms, i) => (best[i] = Math.min(best[i] ?? Infinity, ms)))
  for (let pass = 0; pass < PASSES; pass++) {
    keep(ours, await runRetrap(image))
    keep(interpreted, await runV86(image, false))
    keep(compiled, await runV86(image, true))
  }
  for (const [i, { name, what }] of WORKLOADS.entries()) {
    const own = ours[i] as number
    const ratio = (peer: readonly number[]): string => ((peer[i] as number) / own).toFixed(2)
    const ms = `${own.toFixed(0)} ms against`
    console.log(
      `interpreter-${name}: ${ratio(interpreted)} x v86's interpreter (${what}; ${ms} ${interpreted[i]?.toFixed(0)} ms)`,
    )
    console.log(`interpreter-${name}: ${ratio(compiled)} x v86's JIT (${what}; ${ms} ${compiled[i]?.toFixed(0)} ms)`)
  }
  // v86 leaves timers behind.
  process.exit(0)
}
