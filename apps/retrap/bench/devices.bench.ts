// Compares the devices of retrap with those of QEMU under TCG, each with the same Linux guest on one CPU: disks read and
// written past the guest's page cache, in order and at random; a network card in the user network, both ways and there and
// back. Then graphics, by `npm run -s bench -- vga`. Ratios are work a second of processor time, of all threads of the
// emulator; the rate by the guest's own clock stands beside it. The emulators run in turn, and the median of their runs
// counts. All must print the same results. More is better for retrap: the goal is 1, and the floor 0.5.
//
// npm run -s bench -- devices [--only NAME,...] [--count SCALE] [--warm-up REQUESTS] [--rounds N] [--retrap=OPTION...]
//
// Names: virtio-blk, ahci, nvme, ide, virtio-net, e1000, vga; SCALE multiplies the work of each line. Lines are measured after
// other requests of their kind, when the guest's kernel is compiled: 120000 random reads, and fewer where one moves more.
// `--warm-up 0` measures what a new machine does.
// @programs: qemu-system-x86_64 gcc as
import { execFileSync, spawnSync } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import {
  DISKS,
  diskWorkloads,
  type Group,
  NETWORKS,
  networkWorkloads,
  withGuest,
  type Workload,
} from './devices/guest.ts'
import { withHostPorts } from './devices/host-ports.ts'
import { checkResults, medians, type Run, runMarked, type Times } from './marked-guest.ts'

const DEADLINE_MS = 600_000
const IMAGE_BYTES = 128 << 20
const SOURCE_BYTES = 100e6
const GOAL = 1
const FLOOR = 0.5

interface Settings {
  readonly image: string
  /** The image's, before each run. */
  readonly contents: Uint8Array
  readonly rounds: number
  readonly options: readonly string[]
}

/** @param args - see the head of this file */
export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string' },
      count: { type: 'string', default: '1' },
      'warm-up': { type: 'string', default: '120000' },
      rounds: { type: 'string', default: '1' },
      retrap: { type: 'string', multiple: true, default: [] },
    },
  })
  const only = values.only?.split(',')
  const isWanted = (name: string): boolean => only?.includes(name) ?? true
  const scale = Number(values.count)
  const warmUp = Number(values['warm-up'])
  const folder = await mkdtemp(join(tmpdir(), 'retrap-devices-'))
  const contents = randomFillSync(new Uint8Array(IMAGE_BYTES))
  const settings = { image: join(folder, 'disk'), contents, rounds: Number(values.rounds), options: values.retrap }
  try {
    console.error(`peer: ${execFileSync('qemu-system-x86_64', ['--version'], { encoding: 'utf8' }).split('\n')[0]}`)
    for (const group of DISKS) {
      if (isWanted(group.name)) await compare(group, diskWorkloads(scale, warmUp), settings)
    }
    const bytes = SOURCE_BYTES * scale
    await withHostPorts(bytes, async (ports) => {
      for (const group of NETWORKS) {
        if (isWanted(group.name)) await compare(group, networkWorkloads(scale, bytes, ports, warmUp), settings)
      }
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  // A bench of its own, in the package whose machine it needs.
  if (isWanted('vga')) spawnSync(process.execPath, [process.argv[1] ?? '', 'vga'], { stdio: 'inherit' })
}

async function compare(group: Group, workloads: readonly Workload[], settings: Settings): Promise<void> {
  const { image, contents, rounds, options } = settings
  await withGuest(group, workloads, image, options, async (commands) => {
    const runs = new Map<'retrap' | 'tcg', Run[]>()
    for (let round = 0; round < rounds; round++) {
      for (const peer of ['retrap', 'tcg'] as const) {
        await writeFile(image, contents)
        const result = await runMarked(...commands[peer], DEADLINE_MS)
        const [failed] = result.failed
        if (failed !== undefined)
          throw new Error(`${group.name}: ${failed} failed: ${result.results.get(failed) ?? ''}`)
        runs.set(peer, [...(runs.get(peer) ?? []), result])
      }
    }
    checkResults(runs)
    const [ours, theirs] = [medians(runs.get('retrap') ?? []), medians(runs.get('tcg') ?? [])]
    for (const workload of workloads) {
      const [own, other] = [ours.get(workload.name), theirs.get(workload.name)]
      if (own !== undefined && other !== undefined) print(`${group.name}-${workload.name}`, workload, own, other)
    }
  })
}

function print(name: string, { amount, unit }: Workload, own: Times, other: Times): void {
  const ratio = other.processor / own.processor
  const verdict = ratio >= GOAL ? 'reaches the goal' : ratio >= FLOOR ? 'above the floor' : 'BELOW THE FLOOR'
  const rate = ({ guest }: Times): string => (amount / guest).toFixed(0)
  const perSecond = unit === 'IOPS' ? unit : `${unit}/s`
  console.log(
    `devices-${name}: ${ratio.toFixed(2)} x TCG (${own.processor.toFixed(2)} s against ${other.processor.toFixed(2)} s ` +
      `of processor time; in the guest ${rate(own)} against ${rate(other)} ${perSecond}; ` +
      `${verdict}: goal ${GOAL}, floor ${FLOOR})`,
  )
}
