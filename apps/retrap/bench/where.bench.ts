// Where the processor time of a program goes: runs retrap once under Debian's perf, and prints the time of all threads between
// the program's marks by classes: the interpreter's main function and its other functions, compiled units, misses of the
// TLB, decoding, our compiler, V8's compilers, garbage collection, devices, and so on. Behind a class stands who had compiled
// the code in which the time passed, or `kernel` where the host's kernel was executing, or the thread.
//
// npm run -s bench -- where NAME... [--width 64|32] [--arm] [--rate N] [--functions N] [--v8] [--retrap=OPTION...]
//
// NAME is boot, a program of the bench real or one of the bench jit, of the 64-bit or the 32-bit guest; with `--arm`, one of
// the bench arm. `--functions N` lists the N innermost functions of each class. `--rate` is in samples a second (997). Options
// are added to retrap's: `--retrap=--jit=off`.
//
// Where perf is absent or may not run, the bench says so, and what would help. It takes V8's own profiler then, as with
// `--v8`, which knows the first thread alone, and nothing of what V8 itself does there, and measures the time that passes;
// the processor time of all threads stands below the table. A run under a profiler is slower than others: compare shares,
// and times of one table.
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { provideDebianPrograms } from '@retrap/tooling/programs'
import { retrapCommand, withArmGuest } from './arm/guest.ts'
import { COMPILERS_OF_GUESTS, commandOf as commandOfJit, withGuest } from './jit/peers.ts'
import { ARM_PROGRAMS, PROGRAMS as JIT_PROGRAMS, type Width } from './jit/programs.ts'
import { BOOT } from './marked-guest.ts'
import { commandOf, withGuest as withRealGuest } from './real/guest.ts'
import { fetchImages } from './real/packages.ts'
import { PROGRAMS } from './real/programs.ts'
import { tableOf } from './where/classes.ts'
import { profileByPerf, profileByV8, RATE, whyNoPerf } from './where/profile.ts'

/** What a real program needs none of. */
const COMPILER = ['gcc', 'as']
const ARM_COMPILER = ['aarch64-linux-gnu-gcc', 'aarch64-linux-gnu-as']

type Command = readonly [string, readonly string[]]

interface Settings {
  readonly width: Width
  readonly arm: boolean
  readonly options: readonly string[]
}

/** @param args - see the head of this file */
export async function run(args: readonly string[]): Promise<void> {
  const { values, positionals: names } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      help: { type: 'boolean', default: false },
      width: { type: 'string', default: '64' },
      arm: { type: 'boolean', default: false },
      rate: { type: 'string', default: String(RATE) },
      functions: { type: 'string', default: '0' },
      v8: { type: 'boolean', default: false },
      retrap: { type: 'string', multiple: true, default: [] },
    },
  })
  if (values.help || names.length === 0) return printHelp()
  const settings: Settings = { width: values.width === '32' ? 32 : 64, arm: values.arm, options: values.retrap }
  const refusal = values.v8 ? 'as asked' : await whyNoPerf()
  if (refusal !== undefined) console.log(`where: V8's own profiler is used: ${refusal}`)
  const profile = refusal === undefined ? profileByPerf : profileByV8
  for (const name of names) {
    await withCommand(name, settings, async (command) => {
      const { run: made, classes } = await profile({ command, name, rate: Number(values.rate) })
      const { wall = NaN } = made.times.get(name) ?? {}
      console.log(`where ${name}: ${classes.seconds.toFixed(2)} s in samples, ${wall.toFixed(2)} s by the clock`)
      for (const line of tableOf(classes, Number(values.functions))) console.log(line)
      if (refusal === undefined) return
      const threads = [...(made.spans.get(name)?.threads ?? [])].map(
        ([thread, time]) => `${thread} ${time.toFixed(2)} s`,
      )
      console.log(`processor time of the threads: ${threads.join(', ')}`)
    })
  }
}

/** Builds a program's guest, and calls `use` with the command that boots it on retrap. */
async function withCommand(name: string, settings: Settings, use: (command: Command) => Promise<void>): Promise<void> {
  const { width, arm, options } = settings
  if (arm) {
    const programs = ARM_PROGRAMS.filter((program) => program.name === name)
    if (programs.length === 0 && name !== BOOT) throw unknown(name, ARM_PROGRAMS)
    await provideDebianPrograms({ programs: ARM_COMPILER })
    return withArmGuest(programs, (guest) => use(retrapCommand(guest, !options.includes('--jit=off'))))
  }
  const real = PROGRAMS.find((program) => program.name === name)
  if (real !== undefined || (name === BOOT && width === 64)) {
    const images = await fetchImages(real === undefined ? [] : [real.image])
    return withRealGuest(real && images.get(real.image), real, (guest) => use(commandOf('retrap', guest, options)))
  }
  const programs = JIT_PROGRAMS.filter((program) => program.name === name && (program.widths?.includes(width) ?? true))
  if (programs.length === 0 && name !== BOOT) throw unknown(name, [...PROGRAMS, ...JIT_PROGRAMS])
  await provideDebianPrograms({ programs: COMPILER })
  await provideDebianPrograms({ table: COMPILERS_OF_GUESTS })
  return withGuest(width, programs, (guest) => use(commandOfJit('retrap', guest, options)))
}

const unknown = (name: string, programs: readonly { readonly name: string }[]): Error =>
  new Error(`there is no program '${name}'; there are ${[BOOT, ...programs.map((program) => program.name)].join(', ')}`)

/** The head of this file, and the programs. */
function printHelp(): void {
  const [head = ''] = readFileSync(import.meta.filename, 'utf8').split('\nimport ')
  console.log(head.replaceAll(/^\/\/ ?/gm, ''))
  console.log(
    `\nprograms: ${[BOOT, ...PROGRAMS.map(({ name }) => name), ...JIT_PROGRAMS.map(({ name }) => name)].join(', ')}`,
  )
}
