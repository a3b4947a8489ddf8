// What pages that the host watches cost a guest with hot code compiled, `npm run -s bench -- pages`:
//
// - a loop that stores into the page that its own code is in, against QEMU's TCG, and beside a store into another page;
// - a loop that fills an 8 MiB frame buffer whose dirty pages its device takes 60 times a second, against the same without.
//
// Times are processor time of all threads; the best of several rounds. More than 1 is faster than the peer.
// @programs: qemu-system-x86_64
import type { DeviceModel } from '@retrap/device'
import { createPc } from '@retrap/machine'
import { threadsTime } from '@retrap/tooling/processor-time'
import { dword, eax, ecx, edi, esi, type Assembler } from '@retrap/x86-assembler'
import { buildImage, COM1, runQemu, Stopwatch, type Loop } from './guest-loops.ts'

const PASSES = 3
/** Where the loops with stores are copied to: ROM cannot be written. */
const CODE = 0x30_0000
const DATA = 0x800
const CODE_BYTES = 64
const STORES = 5_000_000

/** A copy of code in RAM that makes all the stores; the loop around it runs once. */
function stores(name: string, what: string, target: number): Loop {
  return {
    name,
    what,
    access(asm: Assembler) {
      const [body, over] = [asm.label(), asm.label()]
      asm.mov(esi, body).mov(edi, CODE).mov(ecx, CODE_BYTES).rep().movsb()
      asm.mov(ecx, STORES).mov(eax, CODE).call(eax).mov(ecx, 1).jmp(over)
      asm.bind(body)
      const loop = asm.here()
      asm.add(eax, ecx).mov(dword(target), eax).add(eax, dword(target)).dec(ecx).jne(loop).ret()
      asm.db(...new Uint8Array(CODE_BYTES)).bind(over)
    },
  }
}

const STORE_LOOPS: readonly Loop[] = [
  stores('own-page', 'a store beside the code of its loop', CODE + DATA),
  stores('other-page', 'a store into another page', CODE + DATA + 0x1000),
]

const BUFFER = 0xe000_0000
const BUFFER_BYTES = 8 << 20
const FRAMES_PER_SECOND = 60
const FILLS = 400
const FILL: readonly Loop[] = [
  {
    name: 'fill',
    what: 'a fill of 8 MiB',
    access(asm: Assembler) {
      // 64 bytes a round, of which the first is read and changed, as a program that draws does.
      const loop = asm.label()
      asm.mov(edi, BUFFER).bind(loop)
      for (let offset = 0; offset < 64; offset += 4) asm.add(dword(edi, { disp: offset }), ecx)
      asm
        .add(edi, 64)
        .cmp(edi, BUFFER + BUFFER_BYTES)
        .jne(loop)
    },
  },
]

/** Takes the marks; with frames, a frame buffer whose written pages it takes. */
class Screen implements DeviceModel {
  readonly name = 'screen'
  taken = 0
  dirty = 0
  readonly #watch: Stopwatch
  readonly #takes: boolean

  constructor(watch: Stopwatch, takes: boolean) {
    this.#watch = watch
    this.#takes = takes
  }

  attach(context: Parameters<DeviceModel['attach']>[0]): void {
    const write = (_offset: number, _size: number, value: number): void => this.#watch.byte(value)
    context.mapPorts(COM1, 1, { read: () => 0xff, write }, { priority: 1 })
    const memory = context.ownMemory({ name: 'frame buffer', bytes: BUFFER_BYTES })
    context.mapMemory(BUFFER, memory)
    if (!this.#takes) return
    memory.logWrites(true)
    const bits = new Uint32Array(BUFFER_BYTES / 4096 / 32)
    const timer = context.timer(() => {
      this.taken++
      this.dirty += memory.takeDirty(0, BUFFER_BYTES, bits)
      timer.arm(context.clock.now() + 1e9 / FRAMES_PER_SECOND)
    })
    timer.arm(context.clock.now() + 1e9 / FRAMES_PER_SECOND)
  }
}

async function runOurs(image: Uint8Array, watch: Stopwatch, jit: boolean, takes = false): Promise<Screen> {
  const screen = new Screen(watch, takes)
  const pc = await createPc({
    memoryBytes: 32 << 20,
    firmware: image,
    devices: [screen],
    jit,
    deviceMemoryBytes: BUFFER_BYTES,
  })
  const stop = new AbortController()
  const running = pc.run({ signal: stop.signal })
  await watch.done
  stop.abort()
  await running
  pc.close()
  return screen
}

const least = (best: number[], times: readonly number[]): void =>
  times.forEach((ns, i) => (best[i] = Math.min(best[i] ?? Infinity, ns)))

async function ownPage(): Promise<void> {
  const image = buildImage(STORE_LOOPS, 1)
  const watch = (clock: () => number): Stopwatch => new Stopwatch(clock, STORE_LOOPS.length, STORES)
  const [compiled, interpreted, tcg]: [number[], number[], number[]] = [[], [], []]
  let hasQemu = true
  for (let pass = 0; pass < PASSES; pass++) {
    for (const [best, jit] of [
      [compiled, true],
      [interpreted, false],
    ] as const) {
      const times = watch(threadsTime)
      await runOurs(image, times, jit)
      least(best, times.best)
    }
    const times: readonly number[] | null = hasQemu ? await runQemu(image, watch) : null
    hasQemu = times !== null
    least(tcg, times ?? [])
  }
  for (const [i, { name, what }] of STORE_LOOPS.entries()) {
    const own = compiled[i]!
    const line = (peer: string, ns: number): void =>
      console.log(
        `pages-${name}: ${(ns / own).toFixed(2)} x ${peer} (${what}: ${own.toFixed(2)} ns a round against ${ns.toFixed(2)} ns)`,
      )
    if (hasQemu) line('TCG', tcg[i]!)
    line('interpreter', interpreted[i]!)
  }
  if (!hasQemu) console.log('SKIPPED: the comparison with TCG needs qemu-system-x86_64')
}

async function frameBuffer(): Promise<void> {
  const image = buildImage(FILL, FILLS)
  const [without, taking]: [number[], number[]] = [[], []]
  let taken = 0
  let dirty = 0
  for (let pass = 0; pass < PASSES; pass++) {
    for (const [best, takes] of [
      [without, false],
      [taking, true],
    ] as const) {
      const watch = new Stopwatch(threadsTime, 1, FILLS)
      const screen = await runOurs(image, watch, true, takes)
      least(best, watch.best)
      taken += screen.taken
      dirty += screen.dirty
    }
  }
  const [off, on] = [without[0]! / 1e6, taking[0]! / 1e6]
  console.log(
    `pages-frame-buffer: ${(off / on).toFixed(3)} x not taking (a fill of 8 MiB while its dirty pages are taken ` +
      `${FRAMES_PER_SECOND} times a second: ${on.toFixed(2)} ms against ${off.toFixed(2)} ms; ` +
      `${taken} takes of ${Math.round(dirty / taken)} pages)`,
  )
}

export async function run(args: readonly string[]): Promise<void> {
  const [group] = args
  if (group !== 'frame-buffer') await ownPage()
  if (group !== 'own-page') await frameBuffer()
  process.exit(0)
}
