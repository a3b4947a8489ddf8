// What graphics cost, `npm run -s bench -- vga [GROUP]`:
//
// - loops: text that scrolls, mode 13h that is filled, and accesses to planar memory that are trapped, on a PC of ours with
//   hot code compiled, on v86's (npm) and on QEMU's TCG. More than 1 is faster than the peer. The goal is 1 × v86, and 60 ns
//   for a trapped access.
// - frame: a picture of 1920 by 1200 that a guest redraws all the time, looked at 60 times a second: what the looks cost.
//   The goal is a tenth of a core.
//
// Times are processor time of all threads; the best of several rounds.
// @programs: qemu-system-x86_64
import { fileURLToPath } from 'node:url'
import type { DeviceModel } from '@retrap/device'
import { Screen } from '@retrap/display'
import { createPc } from '@retrap/machine'
import { al, byte, eax, ebx, ecx, edi, esi, type Assembler } from '@retrap/x86-assembler'
import { V86 } from 'v86'
import { buildImage, COM1, type Loop, ROUNDS, runQemu, Stopwatch } from './guest-loops.ts'
import { MODE_12H, MODE_13H, setLinearMode, setMode, TEXT } from './vga-modes.ts'

const PASSES = 3
const TEXT_AT = 0xb_8000
const GRAPHICS_AT = 0xa_0000
const ROW_BYTES = 160
const GOAL_NS = 60

/** What the loop of `access` has in ECX, which REP needs. */
function keepingCount(asm: Assembler, emit: () => void): void {
  asm.mov(ebx, ecx)
  emit()
  asm.mov(ecx, ebx)
}

const LOOPS: readonly (Loop & { readonly count: number })[] = [
  {
    name: 'text-scroll',
    what: 'a scroll of 80 by 25 characters by a line',
    count: 300,
    prepare: (asm) => setMode(asm, TEXT),
    access: (asm) =>
      keepingCount(asm, () => {
        asm
          .mov(esi, TEXT_AT + ROW_BYTES)
          .mov(edi, TEXT_AT)
          .mov(ecx, (24 * ROW_BYTES) / 4)
          .rep()
          .movsd()
        asm
          .mov(eax, 0x0720_0720)
          .mov(ecx, ROW_BYTES / 4)
          .rep()
          .stosd()
      }),
  },
  {
    name: 'mode-13h-fill',
    what: 'a fill of 320 by 200 dots',
    count: 2000,
    prepare: (asm) => setMode(asm, MODE_13H),
    access: (asm) => keepingCount(asm, () => asm.mov(eax, ebx).mov(edi, GRAPHICS_AT).mov(ecx, 16_000).rep().stosd()),
  },
  {
    name: 'mode-13h-dots',
    what: '64000 stores of a dot',
    count: 100,
    prepare: (asm) => setMode(asm, MODE_13H),
    access: (asm) =>
      keepingCount(asm, () => {
        const loop = asm.label()
        asm.mov(edi, GRAPHICS_AT).mov(ecx, 64_000).bind(loop).mov(byte(edi), al).inc(edi).dec(ecx).jne(loop)
      }),
  },
  {
    name: 'trapped-read',
    what: 'a read of planar memory',
    count: 2_000_000,
    prepare: (asm) => setMode(asm, MODE_12H),
    access: (asm) => void asm.mov(al, byte(GRAPHICS_AT)),
  },
  {
    name: 'trapped-write',
    what: 'a write to planar memory',
    count: 2_000_000,
    prepare: (asm) => setMode(asm, MODE_12H),
    access: (asm) => void asm.mov(byte(GRAPHICS_AT), al),
  },
]

/** Nanoseconds of this process, threads that have ended included. */
function ownTime(): number {
  const { user, system } = process.cpuUsage()
  return 1000 * (user + system)
}

const makeWatch = (clock: () => number): Stopwatch => new Stopwatch(clock, LOOPS.length, 1)

/** Takes the marks. */
const marks = (watch: Stopwatch): DeviceModel => ({
  name: 'stopwatch',
  attach(context) {
    const write = (_offset: number, _size: number, value: number): void => watch.byte(value)
    context.mapPorts(COM1, 1, { read: () => 0xff, write }, { priority: 1 })
  },
})

async function runOurs(image: Uint8Array, watch: Stopwatch, screen = new Screen()): Promise<readonly number[]> {
  const devices = [marks(watch)]
  const pc = await createPc({ memoryBytes: 32 << 20, firmware: image, devices, jit: true, vga: 'std', screen })
  const stop = new AbortController()
  const running = pc.run({ signal: stop.signal })
  await watch.done
  stop.abort()
  await running
  pc.close()
  return watch.best
}

async function runV86(image: Uint8Array): Promise<readonly number[]> {
  const watch = makeWatch(ownTime)
  const emulator = new V86({
    wasm_path: fileURLToPath(import.meta.resolve('v86').replace('libv86.mjs', 'v86.wasm')),
    bios: { buffer: image.slice().buffer },
    memory_size: 32 << 20,
    vga_memory_size: 8 << 20,
    autostart: false,
  })
  emulator.add_listener('serial0-output-byte', (value: number) => watch.byte(value))
  await new Promise<void>((resolve) => emulator.add_listener('emulator-ready', () => resolve()))
  await emulator.run()
  await watch.done
  await emulator.destroy()
  return watch.best
}

async function loops(): Promise<void> {
  const image = buildImage(LOOPS)
  const best: Record<'ours' | 'v86' | 'TCG', number[]> = { ours: [], v86: [], TCG: [] }
  const keep = (of: number[], times: readonly number[]): void =>
    times.forEach((ns, i) => (of[i] = Math.min(of[i] ?? Infinity, ns)))
  for (let pass = 0; pass < PASSES; pass++) {
    keep(best.ours, await runOurs(image, makeWatch(ownTime)))
    keep(best.v86, await runV86(image))
    keep(best.TCG, (await runQemu(image, makeWatch)) ?? [])
  }
  for (const [i, { name, what, count }] of LOOPS.entries()) {
    const own = best.ours[i]! / count
    const goal = name.startsWith('trapped') ? `; goal ${GOAL_NS} ns` : '; goal 1 x v86'
    for (const peer of ['v86', 'TCG'] as const) {
      const ns = best[peer][i]
      if (ns === undefined) console.log(`SKIPPED: the comparison with ${peer}, which is not there`)
      else
        console.log(
          `vga-${name}: ${(ns / count / own).toFixed(2)} x ${peer} ` +
            `(${what}: ${own.toFixed(0)} ns against ${(ns / count).toFixed(0)} ns${goal})`,
        )
    }
  }
}

const WIDTH = 1920
const HEIGHT = 1200
const FRAME_BUFFER = 0xe000_0000
const FRAMES_PER_SECOND = 60
const REDRAWS = 150
const GOAL_SHARE = 0.1

const REDRAW: readonly Loop[] = [
  {
    name: 'redraw',
    what: `a redraw of ${WIDTH} by ${HEIGHT} dots`,
    prepare: (asm) => setLinearMode(asm, WIDTH, HEIGHT, FRAME_BUFFER),
    access: (asm) =>
      keepingCount(asm, () =>
        asm
          .mov(eax, ebx)
          .mov(edi, FRAME_BUFFER)
          .mov(ecx, WIDTH * HEIGHT)
          .rep()
          .stosd(),
      ),
  },
]

async function frame(): Promise<void> {
  const image = buildImage(REDRAW, REDRAWS)
  let [without, costNs, frames, rows] = [Infinity, Infinity, 0, 0]
  for (let pass = 0; pass < PASSES; pass++) {
    const plain = new Stopwatch(ownTime, 1, 1)
    without = Math.min(without, ...(await runOurs(image, plain)))
    const screen = new Screen({ intervalMs: 1000 / FRAMES_PER_SECOND })
    // What the screen's own work takes; what the log costs the guest shows in the time of its redraws.
    const times: number[] = []
    let seen = 0
    const unwatch = screen.watch(({ dirty }) => {
      seen++
      rows += dirty.reduce((sum, { height }) => sum + height, 0)
    })
    const watched = new Stopwatch(ownTime, 1, 1)
    times.push(...(await runOurs(image, watched, screen)))
    unwatch()
    frames += seen
    const cost = ((Math.min(...times) - without) * ROUNDS) / Math.max(1, seen)
    costNs = Math.min(costNs, cost)
  }
  const share = (costNs * FRAMES_PER_SECOND) / 1e9
  console.log(
    `vga-frame: ${(GOAL_SHARE / share).toFixed(2)} x the goal (${WIDTH} by ${HEIGHT} redrawn ${FRAMES_PER_SECOND} times a ` +
      `second costs ${(100 * share).toFixed(1)} % of a core beside the drawing, ${(costNs / 1e6).toFixed(2)} ms a frame; ` +
      `goal ${100 * GOAL_SHARE} %; ${frames} frames of ${Math.round(rows / frames)} rows; ` +
      `a redraw takes the guest ${(without / REDRAWS / 1e6).toFixed(2)} ms)`,
  )
}

export async function run(args: readonly string[]): Promise<void> {
  const [group] = args
  if (group !== 'frame') await loops()
  if (group !== 'loops') await frame()
  process.exit(0)
}
