// Compares the speed of retrap with that of QEMU's TCG on programs of Debian: Python, Perl, Node, gcc, a shell that forks,
// tools for files, dpkg, apt, xz, and the boot of the kernel to its first process. Each program has a machine of its own, with
// Debian's cloud kernel, one CPU, and an initramfs of the program's packages. A program's time is the processor time of all
// threads of the emulator, compilation included, between marks that the guest prints before and after it; the time by the
// host's clock and by the guest's own stands beside it. A boot's is from the emulator's start to the first process, and beside
// it from the kernel's first line on. The emulators run in turn, and the median of their runs counts: three of each, unless
// `--rounds` says otherwise. All must print the same: otherwise the bench says so and ends with an error. Ratios are speed
// against speed: more is better for retrap. `real64` is their geometric mean; the lowest stands alone as well, and that of
// forks, which is far from the others.
//
// npm run -s bench -- real [NAME...] [--rounds N] [--interpreter] [--no-emission] [--retrap=OPTION...]
//
// NAME is boot or a program; `node` stands for node-start, node-loop and node-jitless, and `--help` lists all.
// `--interpreter` measures retrap with --jit off as well, and options are added to retrap's: `--retrap=--cpu=core2`.
// Instructions, and the part of them that compiled code has executed, are those of retrap's first run without those of a
// run that only boots. Code is kept for no later run, but for the line `boot with kept code`: its runs come after three boots
// that share a folder of kept code with them.
//
// `emission` is what a guest instruction costs that is compiled: the processor time of all threads in our compiler, in V8's
// TurboFan, Liftoff, modules, instances and tables of Wasm, and in its garbage collection, divided by the instructions that
// were emitted; those that are distinct lie at different places of the guest's memory. The shares come from a run of its own
// of each program, from the process's start to its end, under Debian's perf (see where.bench.ts), without what a boot with
// `--jit off` spends on the same. Where perf may not run, it is our compiler's time by the host's clock, with modules and
// instances, and the processor time of V8's own threads, without that of the boot with `--jit off`: JavaScript that V8
// optimises meanwhile is in it, and Liftoff is not. Machine bytes are those of the code that V8 lists for perf
// (`--perf-prof`), by emitted instructions; TurboFan's by those of the units that it has compiled. `--no-emission`
// leaves these runs out.
// @programs: qemu-system-x86_64
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Apt } from '@retrap/debian'
import { hasProgram } from '@retrap/tooling/skip'
import { BOOT, checkResults, type Run, runMarked } from './marked-guest.ts'
import { countsOf, type Counts } from './real/counts.ts'
import { describeEmission, type Emission, EmissionMeter } from './real/emission.ts'
import { commandOf, type EmulatorName, fetchKernel, type Guest, withGuest } from './real/guest.ts'
import { fetchImages } from './real/packages.ts'
import { choosePrograms, type ImageName, type Program, PROGRAMS } from './real/programs.ts'
import { describeBoot, type Outcome, report, type Runs, summarize } from './real/report.ts'
import { whyNoPerf } from './where/profile.ts'

const DEADLINE_MS = 1_800_000
const TITLES: Readonly<Record<EmulatorName, string>> = {
  retrap: 'retrap',
  interpreter: 'retrap --jit off',
  kept: 'retrap with kept code',
  tcg: 'TCG',
}
/** Boots before those that are measured with kept code. */
const BOOTS_BEFORE = 3

interface Settings {
  readonly rounds: number
  readonly emulators: readonly EmulatorName[]
  readonly options: readonly string[]
  readonly emission: EmissionMeter | undefined
  /** Those of retrap with kept code. */
  readonly keptOptions?: readonly string[]
}

/** @param args - see the head of this file */
export async function run(args: readonly string[]): Promise<void> {
  const { values, positionals: names } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      help: { type: 'boolean', default: false },
      rounds: { type: 'string', default: '3' },
      interpreter: { type: 'boolean', default: false },
      'no-emission': { type: 'boolean', default: false },
      retrap: { type: 'string', multiple: true, default: [] },
    },
  })
  if (values.help) return printHelp()
  const programs = choosePrograms(names)
  const images = await imagesOf(programs)
  if (images === undefined) return
  console.error(`peer: ${execFileSync('qemu-system-x86_64', ['--version'], { encoding: 'utf8' }).split('\n')[0]}`)
  const settings: Settings = {
    rounds: Number(values.rounds),
    emulators: ['retrap', ...(values.interpreter ? ['interpreter' as const] : []), 'tcg'],
    options: values.retrap,
    emission: values['no-emission'] ? undefined : await emissionMeter(values.retrap),
  }
  const wantsBoot = names.length === 0 || names.includes(BOOT)
  await measureAll(programs, images, wantsBoot, settings)
}

async function emissionMeter(options: readonly string[]): Promise<EmissionMeter> {
  const refusal = await whyNoPerf()
  if (refusal !== undefined) console.log(`emission is estimated by threads: ${refusal}`)
  return new EmissionMeter(refusal === undefined, (use) =>
    withGuest(undefined, undefined, (guest) => use(commandOf('interpreter', guest, options))),
  )
}

/** @returns undefined where this host cannot run the bench, which is said */
async function imagesOf(programs: readonly Program[]): Promise<ReadonlyMap<ImageName, string> | undefined> {
  const skip = (why: string): void => console.log(`real: SKIPPED, nothing was measured: ${why}`)
  try {
    await fetchKernel()
    const images = await fetchImages([...new Set(programs.map(({ image }) => image))])
    if (hasProgram('qemu-system-x86_64')) return images
    skip('there is no qemu-system-x86_64')
  } catch (error) {
    if (await Apt.isAvailable()) throw error
    skip(`there is no apt, and not all packages are in the cache (${error instanceof Error ? error.message : error})`)
  }
  return undefined
}

async function measureAll(
  programs: readonly Program[],
  images: ReadonlyMap<ImageName, string>,
  wantsBoot: boolean,
  settings: Settings,
): Promise<void> {
  const outcomes: Outcome[] = []
  const failures: string[] = []
  const attempt = async (name: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      console.log(`real-${name}: FAILED: ${text}`)
      failures.push(name)
    }
  }
  const emissions: Emission[] = []
  const measureGuest = async (name: string, guest: Guest): Promise<Runs> => {
    const runs = await (name === BOOT ? measureKept(guest, settings) : measure(name, guest, settings))
    const emission = await settings.emission?.measure(commandOf('retrap', guest, settings.options))
    if (emission !== undefined) emissions.push(emission)
    for (const line of describeEmission(`emission of ${name}`, emission === undefined ? [] : [emission])) {
      console.log(line)
    }
    return runs
  }
  const boots = new Map<ImageName, Counts>()
  for (const program of programs) {
    const { name, image } = program
    await attempt(name, async () => {
      const folder = images.get(image)
      const boot = boots.get(image) ?? (await measureBoot(image, folder, settings))
      boots.set(image, boot)
      const runs = await withGuest(folder, program, (guest) => measureGuest(name, guest))
      outcomes.push(report(program, runs, boot))
    })
  }
  const kernel: Runs[] = []
  if (wantsBoot) {
    await attempt(BOOT, async () => {
      kernel.push(await withGuest(undefined, undefined, (guest) => measureGuest(BOOT, guest)))
    })
  }
  if (outcomes.length > 0) summarize(outcomes)
  for (const runs of kernel) console.log(describeBoot(runs, BOOTS_BEFORE))
  for (const line of describeEmission('emission', emissions)) console.log(line)
  if (failures.length > 0) throw new Error(`real: ${failures.join(', ')} failed, or printed different results`)
}

/** What retrap counts in a run that only boots with an image. */
async function measureBoot(name: ImageName, image: string | undefined, { options }: Settings): Promise<Counts> {
  console.error(`  ${name}: retrap boots, for the counts`)
  const { stderr } = await withGuest(image, undefined, (guest) =>
    runMarked(...commandOf('retrap', guest, options), DEADLINE_MS),
  )
  return countsOf(stderr)
}

/** Measures the boot, with code that boots before it have kept as well. */
async function measureKept(guest: Guest, settings: Settings): Promise<Runs> {
  const folder = await mkdtemp(join(tmpdir(), 'retrap-real-units-'))
  const options = [...settings.options, '--unit-cache', folder]
  try {
    for (let boot = 0; boot < BOOTS_BEFORE; boot++) {
      console.error(`  ${BOOT}: retrap boots, and keeps code`)
      await runMarked(...commandOf('kept', guest, options), DEADLINE_MS)
    }
    const { emulators } = settings
    return await measure(BOOT, guest, { ...settings, emulators: [...emulators, 'kept'], keptOptions: options })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function measure(name: string, guest: Guest, settings: Settings): Promise<Runs> {
  const { rounds, emulators, options, keptOptions = options } = settings
  const runs = new Map<EmulatorName, Run[]>(emulators.map((emulator) => [emulator, []]))
  for (let round = 0; round < rounds; round++) {
    for (const emulator of emulators) {
      const own = emulator === 'kept' ? keptOptions : options
      const result = await runMarked(...commandOf(emulator, guest, own), DEADLINE_MS)
      console.error(`  ${name}: ${TITLES[emulator]} ${result.times.get(name)?.processor.toFixed(2)} s`)
      const [failed] = result.failed
      if (failed !== undefined) throw new Error(`on ${TITLES[emulator]}: ${result.results.get(`[${name}]`)}`)
      runs.get(emulator)?.push(result)
    }
  }
  checkResults(runs)
  return runs
}

/** The head of this file, and the programs. */
function printHelp(): void {
  const [head = ''] = readFileSync(import.meta.filename, 'utf8').split('\n// @programs')
  console.log(head.replaceAll(/^\/\/ ?/gm, ''))
  console.log(`\nprograms: ${[...PROGRAMS.map(({ name }) => name), BOOT].join(', ')}`)
}
