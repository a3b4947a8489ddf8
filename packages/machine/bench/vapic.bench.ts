// What a write to the task priority register costs a 32-bit guest, `npm run -s bench -- vapic`: trapped, patched into
// calls of the stock option ROM (Debian's qemu-system-data), and of ours. Once with the local APIC where the vCPU runs,
// once with an APIC whose page an ioreq server in a Worker answers: each trapped write is a round trip to it, as in a
// hypervisor whose APIC is another process's. The loop raises and lowers: `mov [tpr], eax` twice. Nothing is pending, so no
// helper polls; the Worker's APIC keeps no record. Rates are
// writes per second of the time of day; the best of several passes, warm.
import { startDeviceWorker } from '@retrap/device-hosting/node'
import { DebugExit } from '@retrap/devices'
import { al, eax, ecx, esi } from '@retrap/x86-assembler'
import type { Pc, PcOptions } from '@retrap/machine'
import { buildKernel, EXIT_PORT } from '../test/vapic/kernel.ts'
import { stockRom } from '../test/vapic/stock.ts'
import { machineFor } from '../test/vapic/storm.ts'
import { STOP_PORT, type Stopper, stopper, WRITE_EAX } from '../test/vapic/support.ts'

const PASSES = 4
/** Of one round. */
const WRITES = 2000
const SECONDS = 0.5

interface Way {
  readonly name: string
  readonly vapic: PcOptions['vapic']
}

/** A guest that writes so often between two stops, again and again. */
function kernel(cpus: number, worker: boolean): Uint8Array {
  return buildKernel({
    cpus,
    moveApic: worker,
    main: ({ asm }, cpu) => {
      if (cpu > 0) return
      const rounds = asm.here()
      asm.mov(esi, WRITES / 2)
      const loop = asm.here()
      asm
        .mov(eax, 0xd1)
        .db(...WRITE_EAX)
        .mov(eax, 0x41)
        .db(...WRITE_EAX)
      asm.dec(esi).jnz(loop)
      asm.mov(al, 0).out(STOP_PORT, al).mov(ecx, 0).jmp(rounds)
    },
  })
}

async function machine(image: Uint8Array, cpus: number, way: Way, worker: boolean): Promise<Pc> {
  const holder: Stopper = {}
  const vapic = worker && way.vapic !== false ? { ...(way.vapic as object), apicPage: 0xfee0_0000 } : way.vapic
  const pc = await machineFor(image, cpus, {
    vapic,
    clock: 'real',
    devices: [stopper(holder), new DebugExit({ iobase: EXIT_PORT })],
    ...(worker && {
      deviceServers: [
        (dispatch, platform, realTime) =>
          startDeviceWorker(dispatch, platform, {
            name: 'apic',
            modules: [new URL('./apic-page.ts', import.meta.url).href],
            realTime,
          }),
      ],
    }),
  })
  holder.pc = pc
  return pc
}

/** Writes per second, over as many rounds of the guest as take long enough. */
async function rate(pc: Pc): Promise<number> {
  const started = performance.now()
  for (let rounds = 1; ; rounds++) {
    const exit = await pc.run({ timeoutMs: 60_000 })
    if (exit.reason !== 'stopped') throw new Error(`the guest ended with ${JSON.stringify(exit)}`)
    const seconds = (performance.now() - started) / 1000
    if (seconds >= SECONDS) return (rounds * WRITES) / seconds
  }
}

async function compare(what: string, cpus: number, worker: boolean): Promise<void> {
  const ways: Way[] = [
    { name: 'trapped', vapic: false },
    { name: 'patched, our ROM', vapic: {} },
    ...(stockRom === undefined ? [] : [{ name: 'patched, stock ROM', vapic: { rom: stockRom } }]),
  ]
  const best = new Map<string, number>()
  const machines = []
  for (const way of ways) {
    const pc = await machine(kernel(cpus, worker), cpus, way, worker)
    await rate(pc)
    machines.push({ way, pc })
  }
  for (let pass = 0; pass < PASSES; pass++) {
    for (const { way, pc } of machines) best.set(way.name, Math.max(best.get(way.name) ?? 0, await rate(pc)))
  }
  for (const { pc } of machines) pc.close()
  const trapped = best.get('trapped') ?? 0
  console.log(`${what}: trapped ${Math.round(trapped).toLocaleString('en-US')} writes/s`)
  for (const [name, value] of best) {
    if (name === 'trapped') continue
    console.log(
      `vapic: ${(value / trapped).toFixed(1)} x trapped (${what}, ${name}: ${Math.round(value).toLocaleString('en-US')} writes/s)`,
    )
  }
}

export async function run(): Promise<void> {
  await compare('local APIC in the thread of the vCPU, 1 processor', 1, false)
  await compare('local APIC in the thread of the vCPUs, 2 processors', 2, false)
  await compare('APIC in a Worker, 1 processor', 1, true)
}
