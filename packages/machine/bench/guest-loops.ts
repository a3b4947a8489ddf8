// Loops of a guest that tell when they begin and end, for benches: on a PC of ours, and on QEMU's TCG.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { endFirmware, enterFlat, FIRMWARE_BASE } from '@retrap/x86-assembler/guest-code'
import { threadsTime } from '@retrap/tooling/processor-time'
import { Assembler, al, dx, ebp, ecx } from '@retrap/x86-assembler'

/** A loop sends a mark here when it begins, and another one when it ends. */
export const COM1 = 0x3f8
export const ACCESSES = 4_000_000
export const ROUNDS = 4

export interface Loop {
  readonly name: string
  readonly what: string
  /** Emits one access; ECX keeps its value, or leaves as 1 to end the loop. */
  readonly access: (asm: Assembler) => void
  /** Emits what comes before the mark. */
  readonly prepare?: (asm: Assembler) => void
  /** How often the access is made, where that is another number. */
  readonly count?: number
}

/** A firmware image: flat protected mode, then each loop several times, with a mark on COM1 before and after. */
export function buildImage(loops: readonly Loop[], accesses: number = ACCESSES, rounds: number = ROUNDS): Uint8Array {
  const asm = new Assembler({ bits: 16, address: FIRMWARE_BASE })
  const halt = asm.label('halt')
  enterFlat(asm, 0x18_0000)
  const say = (code: number): void => void asm.mov(dx, COM1).mov(al, code).out(dx, al)
  // Each round executes the same code: what is compiled in the first one is there in the others.
  const again = asm.label('again')
  asm.mov(ebp, rounds).bind(again)
  for (const [i, { access, prepare, count = accesses }] of loops.entries()) {
    const loop = asm.label(`loop ${i}`)
    prepare?.(asm)
    say(97 + i)
    asm.mov(ecx, count).bind(loop)
    access(asm)
    asm.dec(ecx).jne(loop)
    say(65 + i)
  }
  asm.dec(ebp).jne(again)
  asm.bind(halt).hlt().jmp(halt)
  endFirmware(asm)
  return asm.assemble().bytes
}

/** Notes when each mark arrives; `best` has nanoseconds an access, by loop. */
export class Stopwatch {
  readonly best: number[]
  readonly #accesses: number
  #started = 0
  #marks = 0
  readonly done: Promise<void>
  #finish: () => void = () => undefined

  readonly #clock: () => number
  readonly #rounds: number

  /** @param clock - nanoseconds of processor time: what else the host does is not counted */
  constructor(clock: () => number, loops: number, accesses: number = ACCESSES, rounds: number = ROUNDS) {
    this.#clock = clock
    this.#rounds = rounds
    this.#accesses = accesses
    this.best = new Array<number>(loops).fill(Infinity)
    this.done = new Promise((resolve) => (this.#finish = resolve))
  }

  byte(value: number): void {
    if (value >= 97) this.#started = this.#clock()
    else {
      const ns = (this.#clock() - this.#started) / this.#accesses
      this.best[value - 65] = Math.min(this.best[value - 65] ?? Infinity, ns)
    }
    if (++this.#marks === 2 * this.#rounds * this.best.length) this.#finish()
  }
}

/** Runs an image on QEMU's TCG. @returns nanoseconds an access, by loop; null where there is no QEMU */
export async function runQemu(
  image: Uint8Array,
  makeWatch: (clock: () => number) => Stopwatch,
): Promise<readonly number[] | null> {
  const folder = await mkdtemp(join(tmpdir(), 'retrap-loops-'))
  try {
    const file = join(folder, 'image')
    await writeFile(file, image)
    const console_ = ['-chardev', 'null,id=nowhere', '-device', 'isa-debugcon,chardev=nowhere']
    const machine = ['-accel', 'tcg', '-m', '32', '-display', 'none', '-monitor', 'none', '-serial', 'stdio']
    const qemu = spawn('qemu-system-x86_64', [...machine, ...console_, '-bios', file], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const watch = makeWatch(() => threadsTime(qemu.pid))
    qemu.stdout.on('data', (bytes: Uint8Array) => {
      for (const byte of bytes) watch.byte(byte)
    })
    const failed = once(qemu, 'error').then(() => 'failed')
    const how = await Promise.race([watch.done, failed])
    if (how === 'failed') return null
    qemu.kill('SIGKILL')
    return watch.best
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
