// npm run -s soak -- NAME [--count N | --for TIME] [--seed S] [--from I]
//
// Runs `test/soak/NAME.soak.ts` of whichever package has it; packages/tooling/src/soak.ts says what such a file exports.
// Progress is on stderr. Each violation is printed on stdout when it is found. The last line on stdout is `NAME: N steps,
// V violations`, also after SIGTERM, SIGINT or SIGHUP. The exit code is 1 if V > 0, else 128 and the number of the signal.
// With --for (500ms, 90s, 10m, 1h) steps are begun until that time is over; the line above the last names what was not reached.
import { constants } from 'node:os'
import { parseArgs } from 'node:util'
import { nanosecondsOf } from '../packages/basics/src/index.ts'
import { runSoak, type Soak, unreached, type Violation } from '../packages/tooling/src/soak.ts'
import { programsOf, provideDebianPrograms } from '../packages/tooling/src/programs.ts'
import { choose, programs } from './workspace.ts'

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const

async function main(): Promise<number> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { count: { type: 'string' }, for: { type: 'string' }, seed: { type: 'string' }, from: { type: 'string' } },
  })
  const number = (option: 'count' | 'seed' | 'from', least: number): number | undefined => {
    const text = values[option]
    if (text === undefined) return undefined
    const value = Number(text)
    if (!Number.isSafeInteger(value) || value < least)
      throw new Error(`--${option} takes a whole number from ${least}, not ${text}`)
    return value
  }
  const forMs = values.for === undefined ? undefined : milliseconds(values.for)
  if (forMs !== undefined && values.count !== undefined) throw new Error('give --for or --count, not both')
  const file = choose('soak', programs('test/soak/*.soak.ts', '.soak.ts'), positionals[0])
  await provideDebianPrograms({ programs: programsOf(file) })
  const { soak } = (await import(file)) as { soak: Soak }
  // A seed that is not given is drawn, and printed with a failure.
  const seed = number('seed', 0) ?? Math.floor(Math.random() * 2 ** 32)
  const count = number('count', 1) ?? soak.count ?? 1000
  const from = number('from', 0) ?? 0
  const begun = performance.now()
  const terminal = process.stderr.isTTY
  let said = 0
  const progress = (done: number, violations: number): void => {
    const seconds = Math.round((performance.now() - begun) / 1000)
    const steps = forMs === undefined ? `${done} of ${count} steps` : `${done} steps in ${seconds} s of ${values.for}`
    const line = `${soak.name}: ${steps}, ${violations} violations`
    if (terminal) process.stderr.write(`\r\x1b[K${line}`)
    else if (performance.now() - said > 30_000) {
      said = performance.now()
      process.stderr.write(`${line}\n`)
    }
  }
  const print = (title: string, { index, message, notes, draws }: Violation): void => {
    if (terminal) process.stderr.write('\r\x1b[K')
    console.log(`${title} (${draws} draws), seed ${seed}, step ${index}:`)
    for (const note of notes) console.log(`  ${note}`)
    console.log(`  ${message.replaceAll('\n', '\n  ')}`)
    console.log(`again: npm run -s soak -- ${soak.name} --seed ${seed} --from ${index} --count 1`)
  }
  const stop = new AbortController()
  let stoppedBy: (typeof SIGNALS)[number] | undefined
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      // The second one ends a run that does not end by itself.
      if (stoppedBy !== undefined) process.exit(128 + constants.signals[signal])
      stoppedBy = signal
      stop.abort()
    })
  }
  const result = await runSoak(soak, {
    count,
    ...(forMs !== undefined && { forMs }),
    seed,
    from,
    progress,
    found: (violation) => print('violation', violation),
    signal: stop.signal,
  })
  if (terminal) process.stderr.write('\r\x1b[K')
  if (result.smallest !== undefined) print('smallest failing case', result.smallest)
  if (soak.summary !== undefined) console.log(soak.summary())
  if (forMs !== undefined) console.log(`not reached: ${unreached(soak, from + result.steps).join(', ') || 'nothing'}`)
  if (stoppedBy !== undefined) console.log(`stopped by ${stoppedBy}`)
  console.log(`${soak.name}: ${result.steps} steps, ${result.violations} violations`)
  if (result.violations > 0) return 1
  return stoppedBy === undefined ? 0 : 128 + constants.signals[stoppedBy]
}

function milliseconds(text: string): number {
  const nanoseconds = nanosecondsOf(text) ?? 0
  if (nanoseconds === 0) throw new Error(`--for '${text}': expected a time above 0, such as 90s or 10m`)
  return nanoseconds / 1e6
}

try {
  // A step that has failed may have left timers behind, and threads.
  process.exit(await main())
} catch (error) {
  console.error(`soak: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 2
}
